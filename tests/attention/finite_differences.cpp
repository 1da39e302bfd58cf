#include "support/attention_errors.hpp"
#include "support/attention_gated.hpp"
#include "support/attention_random.hpp"

// Gradients against central differences of Σ y·dy of the operator itself: no formula of a gradient is used.

namespace {
using namespace lion;
using namespace lion::test;

template <class M, class F, class N, class Dir>
double loss(const Problem& p, F form) {
  RunOptions options;
  options.backward = false;
  const Answer a = run<double>(attention_for<M, F, N, Dir>(p, form), p, options);
  double sum = 0;
  for (std::size_t i = 0; i < a.y.size(); ++i) sum += a.y[i] * p.dy[i];
  return sum;
}

/// The difference quotient for every entry of `x`, which is a part of `p`.
template <class M, class F, class N, class Dir>
std::vector<double> differences(Problem& p, std::vector<double>& x, F form, bool decays = false) {
  std::vector<double> slopes(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double middle = x[i];
    const double width = 1e-5;
    const auto at = [&](double offset) {
      x[i] = middle + offset;
      const double value = loss<M, F, N, Dir>(p, form);
      x[i] = middle;
      return value;
    };
    if (decays && std::isinf(middle)) continue;  // a cut passes no gradient
    // A decay of 1 can only be left downwards: one side, to second order.
    slopes[i] = decays && middle + width > 0 ? (3 * at(0) - 4 * at(-width) + at(-2 * width)) / (2 * width)
                                             : (at(width) - at(-width)) / (2 * width);
  }
  return slopes;
}

template <class M, class F, class N, class Dir>
void require_differences(std::uint64_t seed, F form, const RandomOptions& options = {}) {
  Random random(seed);
  RandomOptions o = options;
  o.normalise = N::divides;
  o.past = Dir::past;
  o.future = Dir::future;
  Problem p = random_problem(random, {1, 2, 1, 11, 3, 2}, M::decay, M::gated, o);
  for (std::vector<double>* x : {&p.k, &p.v}) {
    for (double& value : *x) value = std::isnan(value) ? 0 : value;
  }
  const Answer got = run<double>(attention_for<M, F, N, Dir>(p, form), p);
  constexpr double kLimit = 1e-7;
  CHECK(relative_error(got.dq, differences<M, F, N, Dir>(p, p.q, form)) <= kLimit);
  CHECK(relative_error(got.dk, differences<M, F, N, Dir>(p, p.k, form)) <= kLimit);
  CHECK(relative_error(got.dv, differences<M, F, N, Dir>(p, p.v, form)) <= kLimit);
  for (std::size_t r = 0; r < p.log_lambda.size(); ++r) {
    if constexpr (M::gated) {
      CHECK(relative_error(got.dgate[r], differences<M, F, N, Dir>(p, p.gate[r], form)) <= kLimit);
    }
    if constexpr (M::decay == mask::DecayKind::per_token) {
      CHECK(relative_error(got.dlog_lambda[r], differences<M, F, N, Dir>(p, p.log_lambda[r], form, true)) <= kLimit);
    }
    if constexpr (M::decay == mask::DecayKind::per_head) {
      // The storage of the tests takes a head's decay from its first token.
      std::vector<double> slopes = differences<M, F, N, Dir>(p, p.log_lambda[r], form, true);
      CHECK(relative_error(got.dlog_lambda[r], per_head(slopes, p.dims)) <= kLimit);
    }
  }
}

}  // namespace

TEST_CASE("gradients are those of finite differences") {
  using direction::Backward, direction::Both, direction::Forward, normalise::None, normalise::RowSum;
  SECTION("linear") {
    require_differences<mask::Linear, form::Chunk, RowSum, Both>(1, {4});
    require_differences<mask::Linear, form::Full, None, Forward>(2, {});
  }
  SECTION("decay") {
    require_differences<mask::Decay, form::Chunk, RowSum, Both>(3, {4}, {.padded = true});
    require_differences<mask::Decay, form::Rnn, None, Backward>(4, {}, {.packed = true});
  }
  SECTION("selective") {
    require_differences<mask::Selective, form::Chunk, RowSum, Both>(5, {4}, {.orders = 2});
    require_differences<mask::Selective, form::Rnn, RowSum, Both>(6, {}, {.packed = true, .padded = true});
    require_differences<mask::Selective, form::Chunk, RowSum, Forward>(7, {3});
  }
  SECTION("gated") {
    require_differences<Gated, form::Chunk, RowSum, Both>(8, {4}, {.orders = 2});
    require_differences<Gated, form::Rnn, None, Both>(9, {}, {.padded = true});
  }
}
