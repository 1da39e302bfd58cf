#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"

// Float32 over long sequences whose decays are the hardest there are. The truth at such a length is the chunk form in
// double, which shares no rounding with float32; that form is held to the dense definition at short lengths, and to
// the recurrent form in double at this one.

namespace {
using namespace lion;
using namespace lion::test;

constexpr Index kLength = 65536;

/// A few heads of positive features whose tokens have these log-decays.
template <class LogDecay>
Problem long_problem(Index L, LogDecay&& log_decay) {
  Random random(11);
  Problem p = random_problem(random, {1, 4, 2, L, 5, 4}, mask::DecayKind::none, false);
  p.orders = {{}};
  p.epsilon = 1e-6;
  for (double& value : p.log_lambda[0]) value = static_cast<double>(static_cast<float>(log_decay(random)));
  // What float32 is given, so that only its arithmetic is measured.
  for (std::vector<double>* x : {&p.q, &p.k, &p.v, &p.dy}) {
    for (double& value : *x) value = static_cast<double>(static_cast<float>(value));
  }
  return p;
}

template <class M, class F>
Answer answer(const Problem& p, F form) {
  return run<double>(attention_for<M, F, normalise::RowSum>(p, form), p);
}

/// The truth with its yardsticks: gradients with the denominators held fixed are those of an operator that does not
/// divide, for dy/δ.
template <class M>
Answer truth(const Problem& p) {
  Answer a = answer<M>(p, form::Chunk{256});
  Problem fixed = p;
  fixed.normalise = false;
  for (std::size_t i = 0; i < fixed.dy.size(); ++i) fixed.dy[i] /= a.row_sum[i / static_cast<std::size_t>(p.dims.E)];
  const Answer b = run<double>(attention_for<M, form::Chunk, normalise::None>(fixed, form::Chunk{256}), fixed);
  a.fixed_dq = b.dq;
  a.fixed_dk = b.dk;
  a.fixed_dlog_lambda = b.dlog_lambda;
  return a;
}

void require_close_to(const Answer& got, const Answer& wanted, const Limits& limits) {
  const double outputs = relative_error(got.y, wanted.y);
  const double dq = relative_error(got.dq, wanted.dq, norm(wanted.fixed_dq));
  const double dk = relative_error(got.dk, wanted.dk, norm(wanted.fixed_dk));
  const double dv = relative_error(got.dv, wanted.dv);
  double dlog_lambda = 0;
  if (!got.dlog_lambda[0].empty()) {
    dlog_lambda = relative_error(got.dlog_lambda[0], wanted.dlog_lambda[0], norm(wanted.fixed_dlog_lambda[0]));
  }
  CAPTURE(outputs, dq, dk, dv, dlog_lambda);
  CHECK(outputs <= limits.outputs);
  CHECK(worst({dq, dk, dv, dlog_lambda}) <= limits.gradients);
}

template <class M, class LogDecay>
void require_hard(LogDecay&& log_decay) {
  {
    const Problem p = long_problem(700, log_decay);
    Answer wanted = dense_answer(p);
    if constexpr (M::decay == mask::DecayKind::per_head) {
      wanted.dlog_lambda[0] = per_head(wanted.dlog_lambda[0], p.dims);
      wanted.fixed_dlog_lambda[0] = per_head(wanted.fixed_dlog_lambda[0], p.dims);
    }
    require_close_to(truth<M>(p), wanted, limits<double>());
  }
  const Problem p = long_problem(kLength, log_decay);
  const Answer wanted = truth<M>(p);
  require_close_to(answer<M>(p, form::Rnn{}), wanted, limits<double>());
  for (Index size : {64, 1000}) {
    INFO("chunk of " << size);
    require_close_to(run<float>(attention_for<M, form::Chunk, normalise::RowSum>(p, {size}), p), wanted,
                     limits<float>());
  }
  INFO("rnn");
  require_close_to(run<float>(attention_for<M, form::Rnn, normalise::RowSum>(p), p), wanted, limits<float>());
}

const double kStrongest = std::log(1e-13);

}  // namespace

TEST_CASE("selective decays over 65,536 tokens, float") {
  SECTION("from 1 down to 1e-13, mixed") {
    require_hard<mask::Selective>([](Random& random) {
      const double kind = random.uniform();
      return kind < 0.3 ? 0.0 : kind < 0.7 ? -random.uniform(0, 0.01) : random.uniform(kStrongest, 0);
    });
  }
  SECTION("mostly 1, with cuts") {
    require_hard<mask::Selective>([](Random& random) {
      const double kind = random.uniform();
      return kind < 0.001 ? -INFINITY : kind < 0.5 ? 0.0 : -random.uniform(0, 0.001);
    });
  }
  SECTION("1e-13 everywhere") {
    require_hard<mask::Selective>([](Random&) { return kStrongest; });
  }
  SECTION("1 everywhere") {
    require_hard<mask::Selective>([](Random&) { return 0.0; });
  }
  SECTION("0 everywhere") {
    require_hard<mask::Selective>([](Random&) { return -INFINITY; });
  }
}

TEST_CASE("decays of a head over 65,536 tokens, float") {
  for (const double log_lambda : {0.0, -1e-6, -0.01, -1.0, kStrongest, -double(INFINITY)}) {
    INFO("log_lambda " << log_lambda);
    require_hard<mask::Decay>([=](Random&) { return log_lambda; });
  }
}

TEST_CASE("no decay over 65,536 tokens, float") {
  require_hard<mask::Linear>([](Random&) { return 0.0; });
}
