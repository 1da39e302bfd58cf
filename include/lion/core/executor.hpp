#pragma once
/// Whose threads do the work: the caller's, through two functions.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "lion/core/scalar.hpp"

namespace lion {

/// What the library asks of a source of threads: `concurrency()` says how many calls may run at once, and
/// `parallel_for(n, f)` calls f(0) … f(n-1), each once, in any order, on any threads, and returns when all are done.
/// Nothing that is computed depends on either.
template <class X>
concept ExecutorLike = requires(X& x, Index n, void (*f)(Index)) {
  { x.concurrency() } -> std::convertible_to<Index>;
  x.parallel_for(n, f);
};

/// Everything on the calling thread.
struct SerialExecutor {
  Index concurrency() const { return 1; }
  template <class F>
  void parallel_for(Index n, F&& f) const {
    for (Index i = 0; i < n; ++i) f(i);
  }
};

/// A borrowed executor of any type, without allocation: two pointers. The executor must outlive it.
class Executor {
 public:
  Executor(SerialExecutor = {})  // NOLINT: the default is a value
      : object_(nullptr), concurrency_(1), run_([](void*, Index n, void* body, Call call) {
          for (Index i = 0; i < n; ++i) call(body, i);
        }) {}

  template <ExecutorLike X>
    requires(!std::same_as<std::remove_const_t<X>, Executor> && !std::same_as<std::remove_const_t<X>, SerialExecutor>)
  Executor(X& executor)  // NOLINT: adapting is the point
      : object_(const_cast<std::remove_const_t<X>*>(&executor)),
        concurrency_((std::max<Index>)(1, static_cast<Index>(executor.concurrency()))),
        run_([](void* object, Index n, void* body, Call call) {
          static_cast<X*>(object)->parallel_for(n, [body, call](Index i) { call(body, i); });
        }) {}

  Index concurrency() const { return concurrency_; }

  template <class F>
  void parallel_for(Index n, F&& f) const {
    using Body = std::remove_reference_t<F>;
    run_(object_, n, const_cast<void*>(static_cast<const void*>(&f)),
         [](void* body, Index i) { (*static_cast<Body*>(body))(i); });
  }

  /// How many lanes `for_each_task` uses for this many tasks: each lane needs scratch of its own.
  Index lanes(Index tasks) const { return (std::max<Index>)(1, (std::min)(tasks, concurrency_)); }

  /// Calls f(task, lane) for every task; calls with one lane never overlap, so a lane may own scratch. Which lane
  /// takes a task is left to chance: results must not depend on it.
  template <class F>
  void for_each_task(Index tasks, F&& f) const {
    std::atomic<Index> next{0};
    parallel_for(lanes(tasks), [&](Index lane) {
      for (Index task = next++; task < tasks; task = next++) f(task, lane);
    });
  }

 private:
  using Call = void (*)(void* body, Index i);
  void* object_;
  Index concurrency_;
  void (*run_)(void* object, Index n, void* body, Call call);
};

/// A fixed set of threads. The calling thread works too. A call from inside a call runs serially on its thread; calls
/// from several threads take turns. The first exception of a body is rethrown.
class ThreadPool {
 public:
  /// How long a thread that waits, for a call or for the others to end one, looks out before it sleeps; meanwhile it
  /// yields to whoever else wants to run. A call of a model is hundreds of rounds with little between them, and to
  /// wake who sleeps takes tens of microseconds in each.
  static constexpr std::chrono::microseconds kPatience{200};

  /// `threads` in all, the calling one included; 0 takes the machine's. Returns when all of them run. With a `patience`
  /// of 0 they sleep at once.
  explicit ThreadPool(Index threads = 0, std::chrono::microseconds patience = kPatience)
      : patience_((std::min<std::chrono::microseconds>)(patience, std::chrono::hours(1))) {  // a time that can be added
    if (threads <= 0) threads = (std::max<Index>)(1, static_cast<Index>(std::thread::hardware_concurrency()));
    try {
      for (Index t = 1; t < threads; ++t) workers_.emplace_back([this] { work(); });
    } catch (...) {  // the machine gives no more threads: those that run must not be left behind
      stop();
      throw;
    }
    // A thread allocates as it starts. A round waits for every thread, so none starts inside a caller's call.
    parallel_for(threads, [](Index) {});
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { stop(); }

  Index concurrency() const { return static_cast<Index>(workers_.size()) + 1; }

  template <class F>
  void parallel_for(Index n, F&& f) {
    if (n <= 1 || workers_.empty() || inside_) {
      for (Index i = 0; i < n; ++i) f(i);
      return;
    }
    std::lock_guard turn(turn_);
    using Body = std::remove_reference_t<F>;
    body_ = const_cast<void*>(static_cast<const void*>(&f));
    call_ = [](void* body, Index i) { (*static_cast<Body*>(body))(i); };
    size_ = n;
    next_ = 0;
    busy_ = static_cast<Index>(workers_.size());
    error_ = nullptr;
    begin_round();
    drain();
    wait(done_, [this] { return busy_ == 0; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void stop() {
    stop_ = true;
    begin_round();
    for (std::thread& worker : workers_) worker.join();
  }

  /// What was written before is seen by the workers, who then find it begun or are woken.
  void begin_round() {
    {
      std::lock_guard lock(mutex_);
      ++round_;
    }
    wake_.notify_all();
  }

  /// Returns when what is awaited has come: by looking, and then asleep until told.
  template <class Come>
  void wait(std::condition_variable& told, Come&& come) {
    const auto until = std::chrono::steady_clock::now() + patience_;
    while (!come()) {
      if (std::chrono::steady_clock::now() >= until) {
        std::unique_lock lock(mutex_);
        return told.wait(lock, come);
      }
      std::this_thread::yield();
    }
  }

  void drain() {
    inside_ = true;
    for (Index i = next_++; i < size_; i = next_++) {
      try {
        call_(body_, i);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
    }
    inside_ = false;
  }

  void work() {
    for (std::size_t seen = 0;;) {
      wait(wake_, [&] { return round_ != seen; });
      seen = round_;
      if (stop_) return;
      drain();
      if (--busy_ > 0) continue;
      { std::lock_guard lock(mutex_); }  // who looked in vain is asleep by now, or sees that none is busy
      done_.notify_one();
    }
  }

  std::chrono::microseconds patience_;
  std::vector<std::thread> workers_;
  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  std::atomic<std::size_t> round_{0};
  std::atomic<Index> busy_{0}, next_{0};
  bool stop_ = false;  // this and the rest: written before a round begins, or by those that are busy in it
  Index size_ = 0;
  void* body_ = nullptr;
  void (*call_)(void*, Index) = nullptr;
  std::exception_ptr error_;
  static inline thread_local bool inside_ = false;
};

}  // namespace lion
