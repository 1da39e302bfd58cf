#pragma once
/// A function on a stack of its own that can stop in its midst; the address sanitizer is told of each switch.

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define LION_SIMT_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LION_SIMT_ADDRESS_SANITIZER
#endif
#endif
#if defined(LION_SIMT_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace lion::simt {

/// Outside calls start() and then resume() until ended(); inside calls pause(). The function must not throw, and a
/// fiber that has begun must end before it is destroyed.
class Fiber {
 public:
  Fiber() {
    memory_ = ::mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    ::mprotect(memory_, kGuard, PROT_NONE);  // an overflow ends the program
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() { ::munmap(memory_, kGuard + kStack); }

  void start(void (*function)(void*), void* argument) {
    function_ = function;
    argument_ = argument;
    ended_ = false;
    ::getcontext(&inside_);
    inside_.uc_stack.ss_sp = stack();
    inside_.uc_stack.ss_size = kStack;
    inside_.uc_link = nullptr;
    ::makecontext(&inside_, &Fiber::enter, 0);
    // From here on the sanitizer need not know: it would take every switch for a stack that begins anew.
    inside_.uc_stack.ss_sp = nullptr;
    inside_.uc_stack.ss_size = 0;
#if defined(LION_SIMT_ADDRESS_SANITIZER)
    __asan_unpoison_memory_region(stack(), kStack);
#endif
  }

  void resume() {
    entering = this;
    leave(&outside_fake_, stack(), kStack);
    ::swapcontext(&outside_, &inside_);
    arrive(outside_fake_, nullptr, nullptr);
  }

  void pause() {
    leave(&inside_fake_, outside_stack_, outside_size_);
    ::swapcontext(&inside_, &outside_);
    arrive(inside_fake_, &outside_stack_, &outside_size_);
  }

  bool ended() const { return ended_; }

 private:
  static constexpr std::size_t kGuard = 64 * 1024;  // a multiple of any page
  static constexpr std::size_t kStack = 256 * 1024;

  std::byte* stack() const { return static_cast<std::byte*>(memory_) + kGuard; }

  static void enter() {
    Fiber& self = *entering;
    arrive(nullptr, &self.outside_stack_, &self.outside_size_);
    self.function_(self.argument_);
    self.ended_ = true;
    leave(nullptr, self.outside_stack_, self.outside_size_);  // for good
    ::swapcontext(&self.inside_, &self.outside_);
  }

  static void leave([[maybe_unused]] void** fake, [[maybe_unused]] const void* to, [[maybe_unused]] std::size_t size) {
#if defined(LION_SIMT_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(fake, to, size);
#endif
  }
  static void arrive([[maybe_unused]] void* fake, [[maybe_unused]] const void** from,
                     [[maybe_unused]] std::size_t* size) {
#if defined(LION_SIMT_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(fake, from, size);
#endif
  }

  static inline thread_local Fiber* entering = nullptr;

  void* memory_ = nullptr;
  void (*function_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool ended_ = true;
  ucontext_t inside_{};
  ucontext_t outside_{};
  void* outside_fake_ = nullptr;
  void* inside_fake_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_size_ = 0;
};

}  // namespace lion::simt
