// Softmax attention in kernels: y against its definition, gradients against those of the CPU in float64.

#include "cuda/launcher.hpp"
#include "lion/nn/cuda/softmax_gradient.hpp"
#include "lion/nn/softmax_attention.hpp"
#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"
#include "support/require_error.hpp"

namespace {

using namespace lion;
using namespace lion::test;

/// softmax(qkᵀ/√D) v by its definition in float64, as tensors of T hold q, k and v; 0 where a token sees nothing.
template <class T>
std::vector<double> defined_softmax(const Problem& p) {
  const AttentionDims& d = p.dims;
  const auto at = [](const std::vector<double>& x, Index i) {
    return static_cast<double>(static_cast<T>(x[static_cast<std::size_t>(i)]));
  };
  std::vector<double> y;
  for (Index head = 0; head < d.B * d.H; ++head) {
    for (Index i = 0; i < d.L; ++i) {
      std::vector<std::pair<double, Index>> scores;  // with the keys that i sees
      double top = -INFINITY, sum = 0;
      for (Index j = 0; j < d.L; ++j) {
        const auto apart = [&](Index cut) { return (i < cut) != (j < cut); };
        if (!p.key_mask.empty() && !p.key_mask[static_cast<std::size_t>(head / d.H * d.L + j)]) continue;
        if (std::any_of(p.cu_seqlens.begin(), p.cu_seqlens.end(), apart)) continue;
        double score = 0;
        for (Index e = 0; e < d.D; ++e)
          score += at(p.q, (head * d.L + i) * d.D + e) * at(p.k, (head * d.L + j) * d.D + e);
        scores.emplace_back(score / std::sqrt(static_cast<double>(d.D)), j);
        top = std::fmax(top, scores.back().first);
      }
      for (auto& [score, j] : scores) sum += score = std::exp(score - top);
      for (Index e = 0; e < d.E; ++e) {
        double value = 0;
        for (const auto& [weight, j] : scores) value += weight / sum * at(p.v, (head * d.L + j) * d.E + e);
        y.push_back(value);
      }
    }
  }
  return y;
}

/// The gradients of the CPU in float64, of q, k, v and dy as tensors of T hold them, 0 in place of what is padding; and
/// those with the rows' dy·y left out, the yardstick of their errors.
template <class T>
Answer gradients_on_cpu(Problem p) {
  for (std::vector<double>* x : {&p.q, &p.k, &p.v, &p.dy}) {
    for (double& value : *x) value = std::isnan(value) ? 0 : static_cast<double>(static_cast<T>(value));
  }
  Setup<double, mask::Linear> s(p, Layout::dense);
  const View<double, 3> log_sum(s.row_sum.data(), s.row_sum_shape);
  const nn::SoftmaxAttention<double> attention;
  Workspace workspace;
  attention.forward(s.in, s.y.view(), log_sum, workspace, {});
  attention.backward(s.in, s.y.view(), log_sum, s.dy.view(), {s.dq.view(), s.dk.view(), s.dv.view()}, workspace, {});
  Answer a, fixed;
  s.take_gradients(a);
  s.y.set(std::vector<double>(p.v.size()));
  attention.backward(s.in, s.y.view(), log_sum, s.dy.view(), {s.dq.view(), s.dk.view(), s.dv.view()}, workspace, {});
  s.take_gradients(fixed);
  a.fixed_dq = fixed.dq;
  a.fixed_dk = fixed.dk;
  return a;
}

/// What is padding is NaN; so are outputs, scratch and, where rows lie apart, what is between them.
template <class T>
void check(Random& random, const AttentionDims& dims, bool padded, bool packed) {
  INFO("L " << dims.L << ", D " << dims.D << ", E " << dims.E << ", padded " << padded << ", packed " << packed);
  using A = accumulator_t<T>;
  Problem p = random_problem(random, dims, mask::DecayKind::none, false, {false, true, true, 1, packed, padded});
  for (double& value : p.q) value *= random.pick({1.0, 30.0});  // scores close together and far apart
  if (padded) {
    std::fill_n(p.key_mask.begin(), dims.L, 0);  // rows that see nothing
    for (Index t = 64; t < (std::min)(dims.L, Index(128)); ++t) p.key_mask[static_cast<std::size_t>(dims.L + t)] = 0;
  }
  const std::vector<double> wanted = defined_softmax<T>(p);
  const Answer gradients = gradients_on_cpu<T>(p);
  const auto poison = [&] {
    return std::vector<A>(static_cast<std::size_t>(dims.B * dims.H * dims.L), std::numeric_limits<A>::quiet_NaN());
  };
  for (const Layout layout : {Layout::dense, Layout::tokens}) {
    Answer answers[2];
    for (const bool early_copies : {false, true}) {
      Setup<T, mask::Linear> s(p, layout);
      std::vector<A> log_sum = poison(), slopes = poison();
      const Launcher launcher{early_copies ? 2u : 1u, early_copies};
      cuda::softmax_attention(launcher, s.in, s.y.view(), log_sum.data());
      cuda::softmax_attention_backward<T>(launcher, s.in, s.y.view(), log_sum.data(), s.dy.view(),
                                          {s.dq.view(), s.dk.view(), s.dv.view()}, slopes.data());
      Answer& a = answers[early_copies];
      a.y = s.y.get();
      s.take_gradients(a);
      cuda::softmax_attention(launcher, s.in, s.y.view());  // without log-sum-exp
      CHECK(s.y.get() == a.y);
    }
    CHECK(relative_error(answers[0].y, wanted) <= limits<T>().outputs);
    CHECK(relative_error(answers[0].dq, gradients.dq, norm(gradients.fixed_dq)) <= limits<T>().gradients);
    CHECK(relative_error(answers[0].dk, gradients.dk, norm(gradients.fixed_dk)) <= limits<T>().gradients);
    CHECK(relative_error(answers[0].dv, gradients.dv) <= limits<T>().gradients);
    CHECK(answers[1].y == answers[0].y);
    CHECK(answers[1].dq == answers[0].dq);
    CHECK(answers[1].dk == answers[0].dk);
    CHECK(answers[1].dv == answers[0].dv);
  }
}

template <class T>
void check_all(std::uint64_t seed) {
  Random random(seed);
  for (const Index length : {0, 1, 63, 64, 65, 200}) {
    const AttentionDims dims{2, 2, 2, length, random.pick<Index>({1, 7, 32}), random.pick<Index>({3, 8, 32})};
    check<T>(random, dims, length != 64, false);
    check<T>(random, dims, length == 65 || length == 200, true);
  }
  check<T>(random, {2, 1, 1, 70, 64, 64}, true, false);
  check<T>(random, {1, 2, 2, 130, 33, 50}, false, false);
  check<T>(random, {1, 1, 1, 129, 128, 65}, false, false);
  check<T>(random, {1, 1, 1, 9, 4, 0}, false, false);
}

}  // namespace

TEST_CASE("softmax attention in kernels agrees with its definition, its gradients with the CPU's, emulated") {
  check_all<float>(1);
  check_all<bfloat16>(2);
  check_all<lion::half>(3);
}

TEST_CASE("softmax attention in kernels says what it cannot take") {
  Tensor<float, 4> q({1, 2, 4, 129}), v({1, 4, 4, 3}), y({1, 2, 4, 3});
  require_error<ArgumentError>(
      [&] {
        cuda::softmax_attention<float>(Launcher{}, {q, q, v}, y.view());
      },
      "attention: q has width 129, expected at most 128 with backend::Cuda");
  q = Tensor<float, 4>({1, 2, 4, 5});
  require_error<ArgumentError>(
      [&] {
        cuda::softmax_attention<float>(Launcher{}, {q, q, v}, y.view());
      },
      "softmax_attention: v has shape [1,4,4,3], expected [1,2,4,3] to match q");
  v = Tensor<float, 4>({1, 2, 4, 3});
  require_error<ArgumentError>(
      [&] {
        cuda::softmax_attention_backward<float>(Launcher{}, {q, q, v}, y, nullptr, y, {q.view(), v.view(), v.view()},
                                                nullptr);
      },
      "softmax_attention: dk has shape [1,2,4,3], expected [1,2,4,5] to match k");
  std::vector<float> log_sum(8);
  require_error<ArgumentError>(
      [&] {
        cuda::softmax_attention_backward<float>(Launcher{}, {q, q, v}, y, nullptr, y, {q.view(), q.view(), v.view()},
                                                log_sum.data());
      },
      "softmax_attention: log_sum is null, expected memory of [B,H,L]");
  require_error<ArgumentError>(
      [&] {
        cuda::softmax_attention_backward<float>(Launcher{}, {q, q, v}, y, log_sum.data(), y,
                                                {q.view(), q.view(), v.view()}, nullptr);
      },
      "softmax_attention: slopes is null, expected memory of [B,H,L]");
}
