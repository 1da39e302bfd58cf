#include <limits>

#include "attention/pieces.hpp"
#include "support/attention_gated.hpp"
#include "support/sanitized.hpp"

// Long sequences, few of them: worked on in two halves at once. The full form, whole whatever the length, is the truth.

namespace {
using namespace lion;
using namespace lion::test;

constexpr Index kLength = 4133;

/// Counts how often all threads are asked for.
struct Counting {
  ThreadPool& pool;
  Index all = 0;
  Index concurrency() const { return pool.concurrency(); }
  template <class F>
  void parallel_for(Index n, F&& f) {
    all += n == pool.concurrency();
    pool.parallel_for(n, f);
  }
};

/// Two heads that share q and k, of widths that are no multiple of a vector's.
constexpr AttentionDims kShared{1, 2, 1, kLength, 5, 3};
/// Heads of their own, of widths that products write in place.
constexpr AttentionDims kAlone{1, 1, 1, kLength, 16, 16}, kTwo{1, 2, 2, kLength, 16, 32};

template <class M>
Problem long_problem(std::uint64_t seed, const RandomOptions& options, const AttentionDims& dims) {
  Random random(seed);
  return random_problem(random, dims, M::decay, M::gated, options);
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
void require_halves(auto form, const RandomOptions& options, const AttentionDims& dims = kShared, bool keep = true,
                    Layout layout = Layout::dense) {
  const Problem p = long_problem<M>(11, options, dims);
  const auto attention = attention_for<M, decltype(form), N>(p, form);
  ThreadPool pool(2 * dims.H);  // two for each head
  Counting counting{pool};
  run<T>(attention, p, {layout, keep, false, counting});
  const Index forward = counting.all;
  CHECK(forward >= 2);
  counting.all = 0;
  const Answer got = run<T>(attention, p, {layout, keep, true, counting});
  CHECK(counting.all >= forward + (keep ? 2 : 4));
#ifndef LION_TEST_ADDRESS_SANITIZER
  constexpr bool wide = std::is_same_v<T, double>, stored = sizeof(T) == 2;
  constexpr double outputs = wide ? 1e-10 : stored ? 5e-3 : 1e-5, gradients = wide ? 1e-8 : stored ? 5e-2 : 1e-3;
  require_alike(got, run<double>(attention_for<M, form::Full, N>(p), p), outputs, gradients);
#endif
  // On one thread the same bits, with one sequence at a time.
  const Answer serial = run<T>(attention, p, {layout, keep});
  CHECK(serial.y == got.y);
  CHECK(serial.row_sum == got.row_sum);
  CHECK(serial.dq == got.dq);
  CHECK(serial.dk == got.dk);
  CHECK(serial.dv == got.dv);
  CHECK(serial.dlog_lambda == got.dlog_lambda);
  CHECK(serial.dgate == got.dgate);
}

}  // namespace

TEST_CASE("one long sequence keeps two threads busy, and halves give the answer of the whole") {
  SECTION("chunks, one decay per head") {
    require_halves<double, mask::Decay>(form::Chunk{64}, {.hard = false});
    require_halves<double, mask::Decay>(form::Auto{}, {.hard = false}, kTwo, false);
    require_halves<double, mask::Decay, normalise::None>(form::Chunk{100}, {.normalise = false, .hard = false});
  }
  SECTION("chunks, one decay per token") {
    require_halves<double, mask::Selective>(form::Chunk{64}, {});
    require_halves<double, mask::Selective>(form::Chunk{48}, {}, kAlone, false);
  }
  SECTION("chunks of more than a tile, y made again") {
    require_halves<double, mask::Selective>(form::Chunk{300}, {.padded = true}, kShared, false);
    require_halves<double, mask::Selective>(form::Chunk{kLength / 2}, {}, kAlone);
  }
  SECTION("a gate") { require_halves<double, Gated>(form::Chunk{64}, {.padded = true}); }
  SECTION("token by token") {
    require_halves<double, mask::Decay>(form::Rnn{}, {.hard = false}, kAlone);
    require_halves<double, mask::Selective>(form::Rnn{}, {.padded = true}, kShared, false);
    require_halves<double, mask::Linear>(form::Rnn{}, {});
  }
  SECTION("one global state") {
    require_halves<double, mask::Linear>(form::Auto{}, {.padded = true}, kTwo, false);
    require_halves<float, mask::Linear>(form::Chunk{64}, {}, kShared, true, Layout::tokens);
  }
  SECTION("several orders") {
    require_halves<double, mask::Selective>(form::Chunk{64}, {.orders = 2}, kShared, false);
    require_halves<double, mask::Linear>(form::Chunk{64}, {.orders = 2}, kAlone);
  }
  SECTION("floats") {
    require_halves<float, mask::Decay>(form::Auto{}, {.hard = false}, kShared, true, Layout::tokens);
    require_halves<float, mask::Selective>(form::Auto{}, {}, kTwo);
  }
  SECTION("16-bit storage") {
    require_halves<bfloat16, mask::Selective>(form::Chunk{64}, {}, kShared, false, Layout::tokens);
    require_halves<bfloat16, mask::Selective>(form::Auto{}, {}, kTwo);
    require_halves<bfloat16, mask::Linear>(form::Auto{}, {});
    require_halves<half, mask::Decay>(form::Chunk{64}, {.orders = 2, .hard = false}, kAlone);
  }
}

TEST_CASE("halves are for few and long sequences of two chunks or more") {
  using cpu::Halves;
  CHECK(Halves::where_they_pay(15, 4096, 64).granule == 64);
  CHECK_FALSE(Halves::where_they_pay(16, 4096, 64));
  CHECK_FALSE(Halves::where_they_pay(1, 4095, 64));
  CHECK_FALSE(Halves::where_they_pay(0, 4096, 64));
  CHECK(Halves::where_they_pay(1, 4097, 2048));
  CHECK_FALSE(Halves::where_they_pay(1, 4097, 2049));
  // Any chunk, too: as one.
  const Problem p = long_problem<mask::Decay>(11, {.hard = false}, kAlone);
  const auto whole =
      attention_for<mask::Decay, form::Chunk, normalise::RowSum>(p, form::Chunk{std::numeric_limits<Index>::max()});
  require_alike(run<double>(whole, p), run<double>(attention_for<mask::Decay, form::Full, normalise::RowSum>(p), p),
                1e-12, 1e-12);
}

TEST_CASE("halves of packed sequences, long and short") {
  const auto require = [](auto mask, auto form, bool padded) {
    using M = decltype(mask);
    Problem p = long_problem<M>(12, {.padded = padded, .hard = false}, kShared);
    p.orders = {{}};
    p.cu_seqlens = {0, 3, 3, 37, kLength};
    const Answer wanted = run<double>(attention_for<M, form::Full, normalise::RowSum>(p), p);
    require_alike(run<double>(attention_for<M, decltype(form), normalise::RowSum>(p, form), p), wanted, 1e-10, 1e-8);
  };
  require(mask::Selective{}, form::Chunk{64}, false);
  require(Gated{}, form::Chunk{100}, true);
  require(mask::Decay{}, form::Rnn{}, true);
  require(mask::Linear{}, form::Auto{}, false);
}

TEST_CASE("halves of segments") {
  const auto require = [](auto mask, auto form) {
    using M = decltype(mask);
    const Problem p = [] {
      Problem whole = long_problem<M>(13, {.hard = false}, {1, 2, 1, 3 * 4200, 5, 3});
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
