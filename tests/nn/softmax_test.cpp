#include "differences.hpp"
#include "lion/nn/softmax_attention.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;

namespace {

struct Problem {
  Tensor<double, 4> q, k, v, dy;
  AttentionInputs<double> inputs() const { return {q, k, v}; }

  Problem(Index batch, Index heads, Index length, Index width, Index out, double scale = 1)
      : q(tensor<double, 4>({batch, heads, length, width}, 1, scale)),
        k(tensor<double, 4>({batch, heads, length, width}, 2, scale)),
        v(tensor<double, 4>({batch, heads, length, out}, 3)),
        dy(tensor<double, 4>({batch, heads, length, out}, 4)) {}

  double defined(Index b, Index h, Index i, Index e) const {
    double top = -1e300, sum = 0, value = 0;
    std::vector<double> scores;
    for (Index j = 0; j < k.extent(2); ++j) {
      double s = 0;
      for (Index d = 0; d < k.extent(3); ++d) s += q(b, h, i, d) * k(b, h, j, d);
      scores.push_back(s / std::sqrt(static_cast<double>(k.extent(3))));
      top = std::max(top, scores.back());
    }
    for (Index j = 0; j < k.extent(2); ++j) {
      const double p = std::exp(scores[static_cast<std::size_t>(j)] - top);
      sum += p;
      value += p * v(b, h, j, e);
    }
    return value / sum;
  }
};

}  // namespace

TEST_CASE("softmax attention by its definition, around the tiles and with scores far apart") {
  for (const Index length : {1, 2, 65, 128, 129, 300}) {
    for (const double scale : {1.0, 40.0}) {
      const Problem p(2, 2, length, 5, 3, scale);
      Tensor<double, 4> y({2, 2, length, 3});
      y.fill(std::nan(""));
      Workspace workspace;
      nn::SoftmaxAttention<double>().forward(p.inputs(), y, {}, workspace, {});
      for (Index i = 0; i < length; i += length / 7 + 1) {
        for (Index e = 0; e < 3; ++e)
          REQUIRE(y(1, 1, i, e) == Approx(p.defined(1, 1, i, e)).epsilon(1e-12).margin(1e-14));
      }
    }
  }
}

TEST_CASE("gradients of softmax attention") {
  const nn::SoftmaxAttention<double> attention;
  for (const Index length : {1, 3, 140}) {
    Problem p(1, 2, length, 4, 3);
    Tensor<double, 4> y(p.dy.shape()), dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
    Tensor<double, 3> log_sum({1, 2, length});
    dq.fill(std::nan(""));
    dk.fill(std::nan(""));
    dv.fill(std::nan(""));
    Workspace workspace;
    attention.forward(p.inputs(), y, log_sum, workspace, {});
    attention.backward(p.inputs(), y, log_sum, p.dy, {dq, dk, dv}, workspace, {});
    const auto f = [&] {
      attention.forward(p.inputs(), y, {}, workspace, {});
      return inner(y, p.dy);
    };
    require_gradient("q", p.q.data(), p.q.size(), dq.data(), f);
    require_gradient("k", p.k.data(), p.k.size(), dk.data(), f);
    require_gradient("v", p.v.data(), p.v.size(), dv.data(), f);
  }
}

TEST_CASE("scratch of softmax attention is a constant per lane, and borrowed memory of that size is enough") {
  const nn::SoftmaxAttention<double> attention;
  const Problem p(1, 1, 512, 4, 4), longer(1, 1, 2048, 4, 4);
  REQUIRE(attention.workspace_size(p.inputs(), {}) == attention.workspace_size(longer.inputs(), {}));
  std::vector<std::byte> memory(attention.workspace_size(p.inputs(), {}));
  Workspace borrowed(memory.data(), memory.size());
  Tensor<double, 4> y(p.dy.shape());
  attention.forward(p.inputs(), y, {}, borrowed, {});
  REQUIRE(y(0, 0, 9, 1) == Approx(p.defined(0, 0, 9, 1)).epsilon(1e-12));
}

TEST_CASE("softmax attention refuses shapes that do not fit and masks that it does not know") {
  const nn::SoftmaxAttention<double> attention;
  const Problem p(1, 2, 4, 4, 3);
  Tensor<double, 4> y(p.dy.shape());
  Workspace workspace;
  AttentionInputs<double> in = p.inputs();
  in.k = View<const double, 4>(p.k.data(), {1, 2, 3, 4});
  require_error<ArgumentError>([&] { attention.forward(in, y, {}, workspace, {}); },
                               "softmax_attention: k has shape [1,2,3,4], expected [1,2,4,4] to match q");
  in = p.inputs();
  const std::array<Index, 2> lengths{0, 4};
  in.cu_seqlens = lengths;
  require_error<ArgumentError>([&] { attention.forward(in, y, {}, workspace, {}); },
                               "softmax_attention: key_mask or cu_seqlens is given, expected neither");
}
