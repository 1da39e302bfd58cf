#include <atomic>

#include "attention/pieces.hpp"
#include "support/attention_gated.hpp"

// Long sequences, few of them: worked on in two halves at once. The full form, whole whatever the length, is the truth.

namespace {
using namespace lion;
using namespace lion::test;

constexpr Index kLength = 4133;

/// Counts the calls that may run at once.
struct Counting {
  ThreadPool& pool;
  std::atomic<Index> most{0};
  Index concurrency() const { return pool.concurrency(); }
  template <class F>
  void parallel_for(Index n, F&& f) {
    if (n > most) most = n;
    pool.parallel_for(n, f);
  }
};

template <class M>
Problem long_problem(std::uint64_t seed, const RandomOptions& options, Index L = kLength) {
  Random random(seed);
  return random_problem(random, {1, 2, 1, L, 5, 3}, M::decay, M::gated, options);
}

void require_alike(const Answer& got, const Answer& wanted, double outputs, double gradients) {
  CHECK(relative_error(got.y, wanted.y) <= outputs);
  CHECK(relative_error(got.row_sum, wanted.row_sum) <= outputs);
  CHECK(relative_error(got.dq, wanted.dq) <= gradients);
  CHECK(relative_error(got.dk, wanted.dk) <= gradients);
  CHECK(relative_error(got.dv, wanted.dv) <= gradients);
  for (std::size_t r = 0; r < got.dlog_lambda.size(); ++r) {
    CHECK(relative_error(got.dlog_lambda[r], wanted.dlog_lambda[r]) <= gradients);
  }
  for (std::size_t r = 0; r < got.dgate.size(); ++r) {
    CHECK(relative_error(got.dgate[r], wanted.dgate[r]) <= gradients);
  }
}

template <class T, class M, class N = normalise::RowSum>
void require_halves(auto form, const RandomOptions& options, bool keep = true, Layout layout = Layout::dense) {
  const Problem p = long_problem<M>(11, options);
  const Answer wanted = run<double>(attention_for<M, form::Full, N>(p), p);
  const auto attention = attention_for<M, decltype(form), N>(p, form);
  ThreadPool pool(2);
  Counting two{pool};
  const Answer got = run<T>(attention, p, {layout, keep, true, two});
  CHECK(two.most == 2);
  constexpr bool wide = std::is_same_v<T, double>, stored = sizeof(T) == 2;
  require_alike(got, wanted, wide ? 1e-10 : stored ? 5e-3 : 1e-5, wide ? 1e-8 : stored ? 5e-2 : 1e-3);
  // On one thread the same bits.
  const Answer serial = run<T>(attention, p, {layout, keep});
  CHECK(serial.y == got.y);
  CHECK(serial.dq == got.dq);
  CHECK(serial.dk == got.dk);
  CHECK(serial.dv == got.dv);
  CHECK(serial.dlog_lambda == got.dlog_lambda);
}

}  // namespace

TEST_CASE("one long sequence keeps two threads busy, and halves give the answer of the whole") {
  SECTION("chunks, one decay per head") {
    require_halves<double, mask::Decay>(form::Chunk{64}, {.hard = false});
    require_halves<double, mask::Decay, normalise::None>(form::Chunk{100}, {.normalise = false, .hard = false});
  }
  SECTION("chunks, one decay per token") { require_halves<double, mask::Selective>(form::Chunk{64}, {}); }
  SECTION("chunks of more than a tile, y made again") {
    require_halves<double, mask::Selective>(form::Chunk{300}, {.padded = true}, false);
  }
  SECTION("a gate") { require_halves<double, Gated>(form::Chunk{64}, {.padded = true}); }
  SECTION("token by token") {
    require_halves<double, mask::Decay>(form::Rnn{}, {.hard = false});
    require_halves<double, mask::Selective>(form::Rnn{}, {.padded = true}, false);
    require_halves<double, mask::Linear>(form::Rnn{}, {});
  }
  SECTION("one global state") {
    require_halves<double, mask::Linear>(form::Auto{}, {.padded = true}, false);
    require_halves<float, mask::Linear>(form::Chunk{64}, {}, true, Layout::tokens);
  }
  SECTION("several orders") {
    require_halves<double, mask::Selective>(form::Chunk{64}, {.orders = 2}, false);
    require_halves<double, mask::Linear>(form::Chunk{64}, {.orders = 2});
  }
  SECTION("floats") { require_halves<float, mask::Decay>(form::Auto{}, {.hard = false}, true, Layout::tokens); }
  SECTION("16-bit storage") {
    require_halves<bfloat16, mask::Selective>(form::Chunk{64}, {}, false, Layout::tokens);
    require_halves<half, mask::Decay>(form::Chunk{64}, {.orders = 2, .hard = false});
  }
}

TEST_CASE("halves of packed sequences, long and short") {
  Problem p = long_problem<mask::Selective>(12, {});
  p.orders = {{}};
  p.cu_seqlens = {0, 3, 3, 4100, kLength};
  p.dims.L = kLength;
  const Answer wanted = run<double>(attention_for<mask::Selective, form::Full, normalise::RowSum>(p), p);
  CHECK(cpu::Halves::where_they_pay(8, 4097, 64).granule == 64);
  require_alike(run<double>(attention_for<mask::Selective, form::Chunk, normalise::RowSum>(p), p), wanted, 1e-10, 1e-8);
}

TEST_CASE("halves of segments") {
  const auto require = [](auto mask, auto form) {
    using M = decltype(mask);
    const Problem p = [] {
      Problem whole = long_problem<M>(13, {.hard = false}, 3 * 4200);
      whole.orders = {{}};
      return whole;
    }();
    const auto attention = attention_for<M, decltype(form), normalise::RowSum>(p, form);
    const Answer wanted = run<double>(attention_for<M, form::Chunk, normalise::RowSum>(p, form::Chunk{7000}), p);
    Random random(14);
    const auto combined = [](const auto& x, const auto& y, const auto& out) { combine(x, y, out); };
    Answer got =
        in_pieces<double, M, normalise::RowSum>(random, p, {0, 4200, 8400, p.dims.L}, true, attention, combined);
    got.row_sum = wanted.row_sum;
    require_alike(got, wanted, 1e-10, 1e-8);
  };
  require(mask::Decay{}, form::Chunk{64});
  require(mask::Selective{}, form::Chunk{64});
  require(mask::Selective{}, form::Rnn{});
  require(mask::Linear{}, form::Chunk{64});
}
