#include "lion/core/executor.hpp"

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::Executor;
using lion::Index;
using lion::ThreadPool;

namespace {

/// An engine's own source of threads: one thread per call, last call first.
struct Engine {
  int width = 3;
  int calls = 0;
  int concurrency() const { return width; }
  template <class F>
  void parallel_for(Index n, F&& f) {
    ++calls;
    std::vector<std::thread> threads;
    for (Index i = n; i-- > 0;) threads.emplace_back([&f, i] { f(i); });
    for (std::thread& thread : threads) thread.join();
  }
};

/// An engine that need not change to run a call.
struct Inline {
  Index concurrency() const { return 2; }
  template <class F>
  void parallel_for(Index n, F&& f) const {
    for (Index i = 0; i < n; ++i) f(i);
  }
};

/// Requires that each of n calls happens once.
void require_each_once(const Executor& executor, Index n) {
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
  executor.parallel_for(n, [&](Index i) { ++seen[static_cast<std::size_t>(i)]; });
  for (const std::atomic<int>& count : seen) REQUIRE(count == 1);
}

}  // namespace

TEST_CASE("an executor calls each index once, whosever threads it borrows") {
  for (const Index n : {0, 1, 2, 7, 100}) {
    require_each_once({}, n);
    Engine engine;
    require_each_once(engine, n);
    REQUIRE(engine.calls == 1);
    for (const Index threads : {1, 2, 5}) {
      ThreadPool pool(threads);
      require_each_once(pool, n);
    }
  }
}

TEST_CASE("an executor says how many threads stand behind it") {
  REQUIRE(Executor().concurrency() == 1);
  Engine engine;
  REQUIRE(Executor(engine).concurrency() == 3);
  engine.width = 0;
  REQUIRE(Executor(engine).concurrency() == 1);
  ThreadPool pool(4);
  REQUIRE(Executor(pool).concurrency() == 4);
  REQUIRE(ThreadPool().concurrency() >= 1);
}

TEST_CASE("a const engine and the serial executor can be borrowed too") {
  const Inline engine;
  require_each_once(engine, 5);
  require_each_once(lion::SerialExecutor(), 5);
}

TEST_CASE("lanes: as many as tasks and threads allow, at least one") {
  ThreadPool pool(3);
  const Executor executor = pool;
  REQUIRE(executor.lanes(0) == 1);
  REQUIRE(executor.lanes(2) == 2);
  REQUIRE(executor.lanes(8) == 3);
}

TEST_CASE("every task runs once, and no lane runs two at a time") {
  ThreadPool pool(4);
  const Executor executor = pool;
  constexpr Index tasks = 500;
  std::vector<std::atomic<int>> seen(tasks);
  std::vector<int> unguarded(static_cast<std::size_t>(executor.lanes(tasks)));  // the thread sanitizer watches these
  std::vector<std::atomic<int>> inside(unguarded.size());
  std::atomic<bool> overlap = false;
  executor.for_each_task(tasks, [&](Index task, Index lane) {
    const auto l = static_cast<std::size_t>(lane);
    if (++inside[l] != 1) overlap = true;
    ++unguarded[l];
    ++seen[static_cast<std::size_t>(task)];
    --inside[l];
  });
  REQUIRE_FALSE(overlap);
  int total = 0;
  for (const int count : unguarded) total += count;
  REQUIRE(total == tasks);
  for (const std::atomic<int>& count : seen) REQUIRE(count == 1);
}

TEST_CASE("what the workers wrote is seen by the caller, round after round") {
  ThreadPool pool(3);
  std::vector<Index> values(64);
  for (Index round = 0; round < 200; ++round) {
    pool.parallel_for(64, [&](Index i) { values[static_cast<std::size_t>(i)] += i * round; });
  }
  for (Index i = 0; i < 64; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == i * (199 * 200 / 2));
}

TEST_CASE("threads that sleep at once are woken, and those that look out find work: with pauses of any length") {
  using std::chrono::microseconds;
  for (const microseconds patience : {microseconds(0), microseconds(20), microseconds(1000), microseconds::max()}) {
    ThreadPool pool(3, patience);
    Index sum = 0;
    for (Index round = 0; round < 60; ++round) {
      if (round % 3 > 0) std::this_thread::sleep_for(microseconds(round % 3 == 1 ? 20 : 300));
      std::atomic<Index> total = 0;
      pool.parallel_for(7, [&](Index i) {
        if (i == round % 7) std::this_thread::sleep_for(microseconds(50));  // the others are done, and wait
        total += i;
      });
      sum += total;
    }
    REQUIRE(sum == 60 * 21);
  }
}

TEST_CASE("a pool ends whatever its threads are at") {
  for (int round = 0; round < 20; ++round) {
    ThreadPool pool(4, std::chrono::microseconds(round % 2 == 0 ? 0 : 200));
    if (round % 4 < 2) require_each_once(pool, 9);
    if (round % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
}

TEST_CASE("a pool works with all of its threads") {
  ThreadPool pool(3);
  std::atomic<int> arrived = 0;
  std::vector<std::thread::id> ids(3);
  // Each call waits for the others, so that three threads must take part.
  pool.parallel_for(3, [&](Index i) {
    ids[static_cast<std::size_t>(i)] = std::this_thread::get_id();
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
  });
  const std::set<std::thread::id> distinct(ids.begin(), ids.end());
  REQUIRE(distinct.size() == 3);
  REQUIRE(distinct.contains(std::this_thread::get_id()));
}

TEST_CASE("a call from inside a call runs on its thread") {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> seen(12);
  std::atomic<bool> moved = false;
  pool.parallel_for(3, [&](Index i) {
    const std::thread::id outer = std::this_thread::get_id();
    pool.parallel_for(4, [&](Index j) {
      if (std::this_thread::get_id() != outer) moved = true;
      ++seen[static_cast<std::size_t>(4 * i + j)];
    });
  });
  REQUIRE_FALSE(moved);
  for (const std::atomic<int>& count : seen) REQUIRE(count == 1);
}

TEST_CASE("calls from several threads take turns") {
  ThreadPool pool(3);
  std::vector<Index> sums(4);
  std::vector<std::thread> callers;
  for (std::size_t c = 0; c < sums.size(); ++c) {
    callers.emplace_back([&pool, &sum = sums[c]] {
      for (int round = 0; round < 50; ++round) {
        std::atomic<Index> total = 0;
        pool.parallel_for(10, [&](Index i) { total += i; });
        sum += total;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const Index sum : sums) REQUIRE(sum == 50 * 45);
}

TEST_CASE("what a body throws reaches the caller, and the pool goes on") {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> calls = 0;
    require_error<std::runtime_error>(
        [&] {
          pool.parallel_for(10, [&](Index i) {
            ++calls;
            if (i == 4) throw std::runtime_error("the fourth");
          });
        },
        "the fourth");
    REQUIRE(calls == 10);
  }
  SECTION("also through an executor, by lanes") {
    require_error<std::runtime_error>(
        [&] {
          Executor(pool).for_each_task(10, [](Index task, Index) {
            if (task == 9) throw std::runtime_error("the ninth");
          });
        },
        "the ninth");
  }
  SECTION("also when all of them throw: one arrives") {
    REQUIRE_THROWS_AS(pool.parallel_for(10, [](Index) { throw std::runtime_error("each"); }), std::runtime_error);
  }
  SECTION("also from a call inside a call") {
    require_error<std::runtime_error>(
        [&] {
          pool.parallel_for(3, [&](Index i) {
            pool.parallel_for(3, [&](Index j) {
              if (i == 2 && j == 2) throw std::runtime_error("inner");
            });
          });
        },
        "inner");
  }
  require_each_once(pool, 100);
}
