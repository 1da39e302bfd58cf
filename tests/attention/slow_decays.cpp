#include <random>

#include "support/attention_errors.hpp"

// Decays just below 1 over a long sequence, not normalised, so that nothing hides what rounding does to a state that
// fades 65,536 times: token by token, in small chunks, and in a stream of one-token steps.

namespace {

using namespace lion;
using namespace lion::test;

Problem slow_problem(Index L, double log_lambda) {
  Problem p;
  p.dims = {1, 1, 1, L, 4, 4};
  p.scale = 0.5;
  p.normalise = false;
  std::mt19937 random(7);
  std::uniform_real_distribution<float> unit(0, 1);
  const auto fill = [&](std::vector<double>& x) {
    x.resize(static_cast<std::size_t>(L * 4));
    for (double& value : x) value = unit(random);
  };
  fill(p.q), fill(p.k), fill(p.v), fill(p.dy);
  p.orders.emplace_back();
  p.log_lambda.push_back(std::vector<double>(static_cast<std::size_t>(L), static_cast<float>(log_lambda)));
  return p;
}

template <class T, class F, class Dir = direction::Both>
Answer answer(const Problem& p, F form) {
  return run<T>(attention_for<mask::Decay, F, normalise::None, Dir>(p, form), p);
}

void require_alike(const Answer& got, const Answer& wanted) {
  CHECK(relative_error(got.y, wanted.y) <= 1e-5);
  CHECK(relative_error(got.dq, wanted.dq) <= 1e-4);
  CHECK(relative_error(got.dk, wanted.dk) <= 1e-4);
  CHECK(relative_error(got.dv, wanted.dv) <= 1e-4);
  CHECK(relative_error(got.dlog_lambda[0], wanted.dlog_lambda[0]) <= 1e-4);
}

TEST_CASE("decays just below 1 do not drift over 65,536 tokens, in any form") {
  for (const double log_lambda : {-1.3e-6, -2.1e-5, -1e-3}) {
    const Problem p = slow_problem(65536, log_lambda);
    const Answer wanted = answer<double>(p, form::Chunk{64});
    INFO("log lambda " << log_lambda);
    for (const Index size : {1, 8, 64, 1000}) {
      INFO("chunk of " << size);
      require_alike(answer<float>(p, form::Chunk{size}), wanted);
    }
    INFO("rnn");
    require_alike(answer<float>(p, form::Rnn{}), wanted);
  }
}

TEST_CASE("a stream of 65,536 steps does not drift") {
  const Index L = 65536;
  const Problem p = slow_problem(L, -1.3e-6);
  const Answer wanted = answer<double, form::Chunk, direction::Forward>(p, form::Chunk{64});
  const auto attention = attention_for<mask::Decay, form::Rnn, normalise::None, direction::Forward>(p, form::Rnn{});
  Setup<float, mask::Decay> s(p, Layout::dense);
  Tensor<float, 4> state({1, 1, 4, 5});
  Workspace workspace;
  std::vector<double> y;
  for (Index t = 0; t < L; ++t) {
    const Shape<4> shape{1, 1, 1, 4};
    const AttentionInputs<float> token{
        {s.in.q.at(0, 0, t), shape}, {s.in.k.at(0, 0, t), shape}, {s.in.v.at(0, 0, t), shape}};
    Tensor<float, 4> out(shape);
    attention.step(token, s.masks[0].mask, state, {out}, workspace);
    y.insert(y.end(), out.data(), out.data() + 4);
  }
  CHECK(relative_error(y, wanted.y) <= 1e-5);
}

TEST_CASE("a chunk longer than any sequence is the whole sequence") {
  const Problem p = slow_problem(100, -0.01);
  const Answer wanted = answer<double>(p, form::Full{});
  require_alike(answer<double>(p, form::Chunk{PTRDIFF_MAX}), wanted);
}

}  // namespace
