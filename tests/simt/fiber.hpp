#pragma once
/// A function on a stack of its own that can stop in its midst; the address sanitizer is told of each switch.

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

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

/// Outside calls start() and then resume() until ended(), any number of times; inside calls pause(). The function must
/// not throw. Resume and pause cost no system call: a context begins the stack, jumps lead to and from it.
class Fiber {
 public:
  Fiber() {
    memory_ = ::mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    ::mprotect(memory_, kGuard, PROT_NONE);  // an overflow ends the program
#if defined(LION_SIMT_ADDRESS_SANITIZER)
    __asan_unpoison_memory_region(stack(), kStack);
#endif
    ::getcontext(&beginning_);
    beginning_.uc_stack.ss_sp = stack();
    beginning_.uc_stack.ss_size = kStack;
    beginning_.uc_link = nullptr;
    ::makecontext(&beginning_, &Fiber::enter, 0);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  /// The function must have ended.
  ~Fiber() {
    if (begun_) {
      function_ = nullptr;
      resume();
    }
    ::munmap(memory_, kGuard + kStack);
  }

  void start(void (*function)(void*), void* argument) {
    function_ = function;
    argument_ = argument;
    ended_ = false;
  }

  void resume() {
    leave(&outside_fake_, stack(), kStack);
    if (__builtin_setjmp(outside_) == 0) {
      if (begun_) jump(inside_);
      begun_ = true;
      entering = this;
      ::setcontext(&beginning_);
    }
    arrive(outside_fake_, nullptr, nullptr);
  }

  void pause() {
    leave(&inside_fake_, outside_stack_, outside_size_);
    if (__builtin_setjmp(inside_) == 0) jump(outside_);
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
    while (self.function_) {
      self.function_(self.argument_);
      self.ended_ = true;
      self.pause();
    }
    leave(nullptr, self.outside_stack_, self.outside_size_);  // for good
    jump(self.outside_);
  }

  /// Not [[noreturn]]: the sanitizer would take it for the end of all frames of this stack.
  [[gnu::noinline, gnu::no_sanitize_address]] static void jump(void** to) { __builtin_longjmp(to, 1); }

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
  bool begun_ = false;
  bool ended_ = true;
  ucontext_t beginning_{};
  void* inside_[5];  // what __builtin_setjmp takes
  void* outside_[5];
  void* outside_fake_ = nullptr;
  void* inside_fake_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_size_ = 0;
};

/// Fibers that have ended, kept for the next to come: mapping a stack is dear.
class FiberPool {
 public:
  std::unique_ptr<Fiber> take() {
    if (free_.empty()) return std::make_unique<Fiber>();
    auto fiber = std::move(free_.back());
    free_.pop_back();
    return fiber;
  }
  void give(std::unique_ptr<Fiber> fiber) { free_.push_back(std::move(fiber)); }

  static FiberPool& of_this_thread() {
    static thread_local FiberPool pool;
    return pool;
  }

 private:
  std::vector<std::unique_ptr<Fiber>> free_;
};

}  // namespace lion::simt
