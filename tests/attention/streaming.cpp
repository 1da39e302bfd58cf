#include "attention/pieces.hpp"

// A stream of tokens: `step` one or several at a time, saved and restored on the way, is the causal forward pass.

namespace {
using namespace lion;
using namespace lion::test;

template <class T, class M, class F, class N>
void require_stream(std::uint64_t seed, F form) {
  using A = accumulator_t<T>;
  Random random(seed);
  for (const bool padded : {false, true}) {
    const AttentionDims d{2, 2, 1, 90, 7, 5};
    Problem p = random_problem(random, d, M::decay, false, {N::divides, true, false, 1, false, padded});
    p.orders = {{}};
    for (std::vector<double>* x : {&p.q, &p.k, &p.v}) {
      for (double& value : *x) value = static_cast<double>(static_cast<T>(value));
    }
    const Answer wanted = dense_answer(p);
    const auto attention = attention_for<M, F, N, direction::Forward>(p, form);
    std::vector<double> y = wanted.y, row_sum = wanted.row_sum;
    std::fill(y.begin(), y.end(), NAN);
    Tensor<A, 4> state({d.B, d.H, d.D, d.E + 1});
    for (Index t = 0; t < d.L;) {
      const Index n = t < 40 ? 1 : random.below((std::min<Index>)(20, d.L - t) + 1);
      Setup<T, M> s(segment_of(p, t, t + n), random.pick({Layout::dense, Layout::tokens}));
      PoisonedScratch scratch(attention.segment_workspace_size(s.in));
      Workspace workspace = scratch.workspace();
      attention.step(s.in, s.masks[0].mask, state.view(), {s.y.view(), {s.row_sum.data(), s.row_sum_shape}}, workspace);
      paste(y, s.y.get(), d.L, d.E, t, t + n);
      paste(row_sum, {s.row_sum.begin(), s.row_sum.end()}, d.L, 1, t, t + n);
      t += n;
      if (random.chance(0.2)) {
        Tensor<A, 4> saved = state.clone();
        state.fill(std::numeric_limits<A>::quiet_NaN());
        std::swap(state, saved);
      }
    }
    CHECK(relative_error(y, wanted.y) <= limits<T>().outputs);
    if (N::divides) CHECK(relative_error(row_sum, wanted.row_sum) <= limits<T>().outputs);
  }
}

template <class M>
void require_streams() {
  require_stream<double, M, form::Rnn, normalise::RowSum>(41, {});
  require_stream<double, M, form::Chunk, normalise::None>(42, {8});
  require_stream<float, M, form::Chunk, normalise::RowSum>(43, {64});
}

}  // namespace

TEST_CASE("a stream of tokens, linear mask") { require_streams<mask::Linear>(); }
TEST_CASE("a stream of tokens, decay mask") { require_streams<mask::Decay>(); }
TEST_CASE("a stream of tokens, selective mask") {
  require_streams<mask::Selective>();
  require_stream<bfloat16, mask::Selective, form::Rnn, normalise::RowSum>(44, {});
}
