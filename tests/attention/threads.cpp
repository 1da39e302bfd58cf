#include <thread>

#include "support/attention_random.hpp"
#include "support/attention_run.hpp"
#include "support/catch.hpp"

// The same bits for any number of threads, whosever they are.

namespace {
using namespace lion;
using namespace lion::test;

/// An engine's threads: one per call, last call first.
struct Engine {
  Index width;
  Index concurrency() const { return width; }
  template <class F>
  void parallel_for(Index n, F&& f) {
    std::vector<std::thread> threads;
    for (Index i = n; i-- > 0;) threads.emplace_back([&f, i] { f(i); });
    for (std::thread& thread : threads) thread.join();
  }
};

/// One thread that calls in reverse order and promises more lanes than it has.
struct Reversed {
  Index concurrency() const { return 5; }
  template <class F>
  void parallel_for(Index n, F&& f) {
    for (Index i = n; i-- > 0;) f(i);
  }
};

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

void require_same(const Answer& a, const Answer& b) {
  CHECK(same_bits(a.y, b.y));
  CHECK(same_bits(a.row_sum, b.row_sum));
  CHECK(same_bits(a.dq, b.dq));
  CHECK(same_bits(a.dk, b.dk));
  CHECK(same_bits(a.dv, b.dv));
  for (std::size_t r = 0; r < a.dlog_lambda.size(); ++r) CHECK(same_bits(a.dlog_lambda[r], b.dlog_lambda[r]));
}

template <class M>
Problem threaded_problem(std::uint64_t seed, Index L) {
  Random random(seed);
  return random_problem(random, {2, 4, 2, L, 9, 7}, M::decay, false,
                        {.orders = 1 + random.below(2), .packed = random.chance(0.5), .padded = random.chance(0.5)});
}

template <class T, class M, class F>
void require_same_bits(F form) {
  // Odd lengths put what follows a [L] array of floats at odd places, were it not aligned.
  for (const Index L : {1, 37, 131}) {
    const Problem p = threaded_problem<M>(static_cast<std::uint64_t>(L), L);
    const auto attention = attention_for<M, F, normalise::RowSum>(p, form);
    for (const bool keep : {true, false}) {
      RunOptions options;
      options.keep = keep;
      const Answer serial = run<T>(attention, p, options);
      const auto check = [&](Executor executor) {
        options.executor = executor;
        for (int again = 0; again < 2; ++again) require_same(run<T>(attention, p, options), serial);
      };
      for (const Index threads : {1, 2, 3, 7}) {
        INFO("pool of " << threads);
        ThreadPool pool(threads);
        check(pool);
      }
      Engine engine{4};
      check(engine);
      Reversed reversed;
      check(reversed);
    }
  }
}

}  // namespace

TEST_CASE("the same bits for any executor") {
  SECTION("full") { require_same_bits<float, mask::Decay>(form::Full{}); }
  SECTION("chunk") { require_same_bits<float, mask::Selective>(form::Chunk{16}); }
  SECTION("rnn") { require_same_bits<float, mask::Selective>(form::Rnn{}); }
  SECTION("linear") { require_same_bits<float, mask::Linear>(form::Chunk{16}); }
  SECTION("bfloat16") { require_same_bits<bfloat16, mask::Decay>(form::Chunk{16}); }
}

TEST_CASE("halves of a long sequence give the same bits for any executor") {
  Random random(7);
  const auto require = [&](auto mask, auto form, Index orders) {
    using M = decltype(mask);
    const Problem p = random_problem(random, {1, 2, 2, 4133, 3, 2}, M::decay, false, {.orders = orders});
    const auto attention = attention_for<M, decltype(form), normalise::RowSum>(p, form);
    RunOptions options;
    options.keep = false;
    const Answer serial = run<float>(attention, p, options);
    ThreadPool pool(3);
    options.executor = pool;
    require_same(run<float>(attention, p, options), serial);
  };
  require(mask::Selective{}, form::Chunk{64}, 2);
  require(mask::Decay{}, form::Rnn{}, 1);
  require(mask::Linear{}, form::Auto{}, 1);
}

TEST_CASE("segments give the same bits for any executor") {
  Problem p = threaded_problem<mask::Selective>(5, 131);
  p.orders = {{}};
  p.cu_seqlens.clear();
  const auto attention = attention_for<mask::Selective, form::Chunk, normalise::RowSum>(p, form::Chunk{16});
  const auto summaries = [&](Executor executor) {
    Setup<float, mask::Selective> s(p, Layout::dense);
    const AttentionDims& d = p.dims;
    const View<float, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
    Tensor<float, 4> later({d.B, d.H, d.D, d.E + 1}), earlier = later.clone();
    Tensor<float, 2> log_decay({d.B, d.H});
    Workspace workspace;
    std::vector<float> all;
    const auto keep = [&](const auto& x) { all.insert(all.end(), x.data(), x.data() + x.size()); };
    attention.summarise(s.in, s.masks[0].mask, {later, earlier, log_decay}, workspace, executor);
    keep(later), keep(earlier), keep(log_decay);
    attention.forward_segment(s.in, s.masks[0].mask, {}, {s.y.view(), row_sum}, workspace, executor);
    attention.summarise_backward(s.in, s.masks[0].mask, {s.dy.view(), s.y.view(), row_sum}, {later, earlier, log_decay},
                                 workspace, executor);
    keep(later), keep(earlier);
    return all;
  };
  const std::vector<float> serial = summaries({});
  for (const Index threads : {2, 7}) {
    ThreadPool pool(threads);
    CHECK(summaries(pool) == serial);
  }
}

TEST_CASE("calls from several threads, each with its own workspace, share an attention and a pool") {
  const Problem p = threaded_problem<mask::Selective>(6, 131);
  const auto attention = attention_for<mask::Selective, form::Chunk, normalise::RowSum>(p, form::Chunk{16});
  const Answer alone = run<float>(attention, p);
  ThreadPool pool(3);
  std::vector<Answer> answers(4);
  {
    std::vector<std::thread> callers;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      callers.emplace_back([&, i] {
        RunOptions options;
        if (i % 2 == 0) options.executor = pool;
        for (int again = 0; again < 3; ++again) answers[i] = run<float>(attention, p, options);
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
  for (const Answer& answer : answers) require_same(answer, alone);
}
