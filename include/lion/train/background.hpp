#pragma once
/// Batches made ahead of the training that uses them, by threads of their own or the caller's.

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion::train {

struct BackgroundOptions {
  Index threads = 2;  ///< of its own; 0: none, and whoever calls `next` makes the batch there and then
  Index ahead = 4;    ///< batches made or in the making beyond the one that the caller has, ≥ 0
  Index first = 0;    ///< step of the first batch
  Index end = (std::numeric_limits<Index>::max)();  ///< step after the last batch
};

/// The batches of steps first, first + 1, …, end − 1 in this order, each made by `make(step, batch, stop)` on some
/// thread before it is asked for. What is in them is `make`'s affair: if it is a function of the step alone, so is the
/// batch, for any number of threads. A batch's memory is given to `make` again for a later step. Threads that have
/// nothing to do sleep.
template <class Batch>
class Background {
 public:
  /// Called for several steps at once. May return early, its batch unfinished, once `stop.stop_requested()`.
  using Make = std::function<void(Index step, Batch& batch, const std::stop_token& stop)>;

  explicit Background(Make make, const BackgroundOptions& options = {})
      : make_(std::move(make)), options_(options), wanted_(options.first), claimed_(options.first) {
    const auto require = [](bool good, const char* name, Index value, const std::string& expected) {
      if (good) return;
      throw ArgumentError(std::string("Background: ") + name + " is " + std::to_string(value) + ", expected " +
                          expected);
    };
    require(options.threads >= 0, "threads", options.threads, "at least 0");
    require(options.ahead >= 0 && options.ahead < 1 << 20, "ahead", options.ahead, "a value in [0, 1048576)");
    require(options.first >= 0, "first", options.first, "at least 0");
    require(options.end >= options.first, "end", options.end, "at least first " + std::to_string(options.first));
    slots_ = std::vector<Slot>(static_cast<std::size_t>(options.ahead + 1));
    try {
      for (Index t = 0; t < options.threads; ++t) threads_.emplace_back([this] { serve(); });
    } catch (...) {  // the machine gives no more threads: those that run must not be left behind
      close();
      join();
      throw;
    }
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  /// Ends in the middle too: waits for what is being made, no longer than `make` takes to see that it should stop.
  ~Background() {
    close();
    join();
  }

  /// The batch of the next step, to be used and changed until the next call; nullptr after the last, or after `close`.
  /// Waits if it is still in the making, and makes it here if nobody has begun. What `make` threw for this step is
  /// rethrown here, and the call after that gives the step that follows. For one thread at a time.
  Batch* next() {
    std::unique_lock lock(mutex_);
    if (stop_.stop_requested() || wanted_ >= options_.end) return nullptr;
    const Index step = wanted_++;
    wake_.notify_all();  // the batch that the caller had may be made anew
    Slot& slot = slot_of(step);
    if (claimed_ == step) {
      make_claimed(lock);
    } else {
      ready_.wait(lock, [&] { return slot.ready || stop_.stop_requested(); });
    }
    if (stop_.stop_requested()) return nullptr;
    if (slot.error) std::rethrow_exception(std::exchange(slot.error, nullptr));
    return &slot.batch;
  }

  /// Makes batches on the calling thread as threads of its own do, until all are made or `close` is called. Any number
  /// of the caller's threads may be lent.
  void serve() {
    std::unique_lock lock(mutex_);
    ++serving_;
    for (;;) {
      wake_.wait(lock, [&] { return stop_.stop_requested() || claimed_ >= options_.end || may_claim(); });
      if (stop_.stop_requested() || claimed_ >= options_.end) break;
      make_claimed(lock);
    }
    if (--serving_ == 0) ready_.notify_all();
  }

  /// Nothing more is made: lent threads return, and `next` gives nullptr. From any thread.
  void close() {
    const std::lock_guard lock(mutex_);
    stop_.request_stop();
    wake_.notify_all();
    ready_.notify_all();
  }

 private:
  struct Slot {
    Batch batch{};
    std::exception_ptr error;
    bool ready = false;
  };

  Slot& slot_of(Index step) { return slots_[static_cast<std::size_t>(step % (options_.ahead + 1))]; }

  /// While the caller has the batch of step wanted_ − 1, the steps up to wanted_ − 1 + ahead have slots beside it.
  bool may_claim() const { return claimed_ - wanted_ < options_.ahead; }

  /// Takes the next step that nobody has begun and makes it, unlocked meanwhile.
  void make_claimed(std::unique_lock<std::mutex>& lock) {
    const Index step = claimed_++;
    Slot& slot = slot_of(step);
    slot.ready = false;
    slot.error = nullptr;
    lock.unlock();
    std::exception_ptr error;
    try {
      make_(step, slot.batch, stop_.get_token());
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = std::move(error);
    slot.ready = true;
    ready_.notify_all();
  }

  void join() {
    for (std::thread& thread : threads_) thread.join();
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return serving_ == 0; });
  }

  const Make make_;
  const BackgroundOptions options_;
  std::mutex mutex_;
  std::condition_variable wake_, ready_;
  std::stop_source stop_;
  Index wanted_;   // step that `next` gives next
  Index claimed_;  // step that nobody has begun
  Index serving_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::thread> threads_;
};

}  // namespace lion::train
