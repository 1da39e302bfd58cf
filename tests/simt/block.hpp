#pragma once
/// A block of emulated threads: who runs, who waits for whom, shared memory, and copies under way.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/view.hpp"
#include "simt/fiber.hpp"

namespace lion::simt {

using Where = std::source_location;

inline constexpr int kLanes = 32;

/// What each lane of a warp brings to a collective operation, and where it takes what it gets.
using Slots = std::array<void*, kLanes>;

/// The same numbers everywhere (splitmix64).
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  /// From 0 to sides − 1.
  std::size_t roll(std::size_t sides) {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::size_t>((z ^ (z >> 31)) % sides);
  }

  void shuffle(int* first, std::size_t n) {
    for (; n > 1; --n) std::swap(first[n - 1], first[roll(n)]);
  }

 private:
  std::uint64_t state_;
};

/// Runs the threads of one block after another, each until it must wait. Errors name the kernel, the block and the
/// place in the source.
class Block {
 public:
  /// `threads` is a multiple of 32.
  Block(std::string_view kernel, int threads, std::size_t shared_bytes, unsigned seed, bool early_copies)
      : kernel_(kernel),
        threads_(static_cast<std::size_t>(threads)),
        warps_(static_cast<std::size_t>(threads / kLanes)),
        shared_bytes_(shared_bytes),
        shared_(static_cast<std::byte*>(::operator new(shared_bytes, kAligned))),
        dice_(seed),
        early_copies_(early_copies) {
    for (int t = 0; t < threads; ++t) {
      state(t).block = this;
      state(t).index = t;
    }
  }

  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() {
    for (State& thread : threads_) FiberPool::of_this_thread().give(std::move(thread.fiber));
  }

  /// Runs body(context, t) for every thread t. Rethrows the first exception that left one of them.
  void run(const Shape<3>& at, void (*body)(void*, int), void* context) {
    at_ = at;
    body_ = body;
    context_ = context;
    error_ = nullptr;
    at_barrier_ = 0;
    ended_ = 0;
    std::memset(shared_.get(), 0xff, shared_bytes_);  // a NaN in every type
    ready_.clear();
    for (auto& warp : warps_) warp = {};
    for (auto& thread : threads_) {
      thread.doing = {};
      thread.open.clear();
      thread.groups.clear();
      thread.begun = false;
      thread.fiber->start(&Block::thread_main, &thread);
      ready_.push_back(thread.index);
    }
    draw();
    while (!ready_.empty() && !error_) resume(next());
    if (!error_ && ended_ != threads()) error_ = std::make_exception_ptr(Error(headline() + stuck()));
    if (!error_) return;
    for (auto& thread : threads_) {  // their frames are left as if by an exception
      if (thread.begun && !thread.fiber->ended()) thread.fiber->resume();
    }
    std::rethrow_exception(error_);
  }

  int threads() const { return static_cast<int>(threads_.size()); }
  Index at(int axis) const { return at_[static_cast<std::size_t>(axis)]; }
  std::byte* shared() const { return shared_.get(); }

  /// All threads of the block meet.
  void barrier(int thread, const Where& where) {
    arrive(thread, {"barrier", where, nullptr, nullptr}, barrier_);
    if (++at_barrier_ == threads()) {
      at_barrier_ = 0;
      for (auto& each : threads_) release(each.index);
      draw();
    }
    pause(thread);
  }

  /// The lanes of the thread's warp meet, and perform(slots) does the work of all.
  void collective(int thread, std::string_view what, const Where& where, void* slot, void (*perform)(const Slots&)) {
    Warp& warp = warps_[static_cast<std::size_t>(thread / kLanes)];
    arrive(thread, {what, where, slot, perform}, warp.first);
    if (++warp.arrived == kLanes) {
      warp.arrived = 0;
      const int first = thread / kLanes * kLanes;
      Slots slots;
      for (int l = 0; l < kLanes; ++l) slots[static_cast<std::size_t>(l)] = state(first + l).doing.slot;
      perform(slots);
      for (int l = 0; l < kLanes; ++l) release(first + l);
      dice_.shuffle(ready_.data() + ready_.size() - kLanes, kLanes);
    }
    pause(thread);
  }

  /// 16 bytes that arrive when they are waited for; with early copies at once too, as some may on a GPU.
  void copy(int thread, std::byte* to, const std::byte* from, bool valid, const Where& where) {
    Copy begun{to, {}};
    std::memcpy(begun.bytes.data(), from, begun.bytes.size());  // the address sanitizer sees it
    if (!valid) begun.bytes = {};
    require_shared(thread, to, begun.bytes.size(), "copy_async", where);
    if (early_copies_) begun.arrive();
    state(thread).open.push_back(begun);
  }

  void commit(int thread) {
    state(thread).groups.push_back(std::move(state(thread).open));
    state(thread).open.clear();
  }

  void wait(int thread, std::size_t pending) {
    auto& groups = state(thread).groups;
    for (; groups.size() > pending; groups.pop_front()) {
      for (const Copy& begun : groups.front()) begun.arrive();
    }
    release(thread);
    std::swap(ready_.back(), ready_[dice_.roll(ready_.size())]);
    pause(thread);
  }

  /// Throws unless the bytes lie in shared memory and begin at a multiple of their number.
  void require_shared(int thread, const void* pointer, std::size_t bytes, std::string_view what, const Where& where) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    const auto offset = address - reinterpret_cast<std::uintptr_t>(shared_.get());  // huge if it lies before
    if (address % bytes == 0 && offset <= shared_bytes_ && shared_bytes_ - offset >= bytes) return;
    throw_error(thread, what, where,
                "the address is byte " + std::to_string(static_cast<Index>(offset)) + " of " +
                    std::to_string(shared_bytes_) + " of shared memory, expected a multiple of " +
                    std::to_string(bytes) + " and room for as many bytes");
  }

  [[noreturn]] void throw_error(int thread, std::string_view what, const Where& where, const std::string& why) const {
    throw Error(headline() + "thread " + std::to_string(thread) + ", " + place(what, where) + ": " + why);
  }

 private:
  static constexpr std::align_val_t kAligned{128};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kAligned); }
  };

  struct Copy {
    std::byte* to;
    std::array<std::byte, 16> bytes;
    void arrive() const { std::memcpy(to, bytes.data(), bytes.size()); }
  };

  /// What a thread waits in; nothing when `what` is empty.
  struct Doing {
    std::string_view what{};
    Where where{};
    void* slot = nullptr;
    void (*perform)(const Slots&) = nullptr;
  };

  struct State {
    Block* block = nullptr;
    int index = 0;
    std::unique_ptr<Fiber> fiber = FiberPool::of_this_thread().take();
    bool begun = false;
    Doing doing;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
  };

  struct Warp {
    int arrived = 0;
    Doing first{};  // what the first lane to arrive does: so must all
  };

  /// Unwinds the threads that are left when one has thrown.
  struct Abandoned {};

  State& state(int thread) { return threads_[static_cast<std::size_t>(thread)]; }

  static void thread_main(void* argument) {
    State& self = *static_cast<State*>(argument);
    Block& block = *self.block;
    try {
      block.body_(block.context_, self.index);
      self.doing = {};
      ++block.ended_;
    } catch (const Abandoned&) {
    } catch (...) {
      if (!block.error_) block.error_ = std::current_exception();
    }
  }

  void resume(int thread) {
    state(thread).begun = true;
    state(thread).fiber->resume();
  }

  void pause(int thread) {
    state(thread).fiber->pause();
    if (error_) throw Abandoned();
  }

  /// How the next threads are chosen: at random, or those that have just become ready first, so that one warp runs as
  /// far ahead of the others as it can.
  void draw() {
    ahead_ = dice_.roll(2) == 1;
    dice_.shuffle(ready_.data(), ready_.size());
  }

  int next() {
    if (!ahead_) std::swap(ready_.back(), ready_[dice_.roll(ready_.size())]);
    const int thread = ready_.back();
    ready_.pop_back();
    return thread;
  }

  void release(int thread) {
    state(thread).doing = {};
    ready_.push_back(thread);
  }

  /// A thread arrives where others wait or will: all must do the same thing at the same place. `first` is the doing of
  /// the first that arrived.
  void arrive(int thread, const Doing& doing, Doing& first) {
    const bool alone =
        &first == &barrier_ ? at_barrier_ == 0 : warps_[static_cast<std::size_t>(thread / kLanes)].arrived == 0;
    if (alone) {
      first = doing;
    } else if (doing.what != first.what || doing.perform != first.perform || doing.where.line() != first.where.line() ||
               doing.where.column() != first.where.column() ||
               std::string_view(doing.where.file_name()) != first.where.file_name()) {
      throw_error(thread, doing.what, doing.where, "others wait at " + place(first.what, first.where));
    }
    state(thread).doing = doing;
  }

  std::string headline() const {
    std::string text = "simt: kernel ";
    return text.append(kernel_) + ", block " + to_string(at_) + ": ";
  }

  static std::string place(std::string_view what, const Where& where) {
    std::string_view file = where.file_name();
    file.remove_prefix(file.rfind('/') + 1);
    return std::string(what).append(" (").append(file).append(":") + std::to_string(where.line()) + ")";
  }

  /// "32 threads wait at barrier (a.hpp:7), 32 have ended".
  std::string stuck() const {
    std::vector<std::pair<std::string, int>> places;
    for (const State& thread : threads_) {
      if (thread.doing.what.empty()) continue;
      const std::string here = place(thread.doing.what, thread.doing.where);
      auto found = std::find_if(places.begin(), places.end(), [&](const auto& p) { return p.first == here; });
      if (found == places.end()) found = places.insert(places.end(), {here, 0});
      ++found->second;
    }
    std::string text;
    for (const auto& [here, number] : places) {
      text +=
          (text.empty() ? "" : ", ") + std::to_string(number) + (text.empty() ? " threads wait at " : " at ") + here;
    }
    return text + ", " + std::to_string(ended_) + " have ended";
  }

  std::string kernel_;
  std::vector<State> threads_;
  std::vector<Warp> warps_;
  std::size_t shared_bytes_;
  std::unique_ptr<std::byte, Free> shared_;
  Dice dice_;
  bool early_copies_;
  bool ahead_ = false;
  Shape<3> at_{};
  void (*body_)(void*, int) = nullptr;
  void* context_ = nullptr;
  std::exception_ptr error_;
  std::vector<int> ready_;
  Doing barrier_{};
  int at_barrier_ = 0;
  int ended_ = 0;
};

}  // namespace lion::simt
