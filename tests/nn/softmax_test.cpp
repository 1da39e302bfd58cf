#include "differences.hpp"
#include "lion/nn/softmax_attention.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;

namespace {

struct Problem {
  Tensor<double, 4> q, k, v, dy;
  Tensor<bool, 2> key_mask{};
  std::vector<Index> cuts{};
  AttentionInputs<double> inputs() const { return {q, k, v, key_mask, cuts}; }

  Problem(Index batch, Index heads, Index length, Index width, Index out, double scale = 1)
      : q(tensor<double, 4>({batch, heads, length, width}, 1, scale)),
        k(tensor<double, 4>({batch, heads, length, width}, 2, scale)),
        v(tensor<double, 4>({batch, heads, length, out}, 3)),
        dy(tensor<double, 4>({batch, heads, length, out}, 4)) {}

  /// Whether token i sees token j.
  bool sees(Index b, Index i, Index j) const {
    for (const Index cut : cuts) {
      if ((i < cut) != (j < cut)) return false;
    }
    return key_mask.size() == 0 || key_mask(b, j);
  }

  /// 0 where a token sees nothing.
  double defined(Index b, Index h, Index i, Index e) const {
    double top = -1e300, sum = 0, value = 0;
    std::vector<double> scores;
    for (Index j = 0; j < k.extent(2); ++j) {
      scores.push_back(-1e300);
      if (!sees(b, i, j)) continue;
      double s = 0;
      for (Index d = 0; d < k.extent(3); ++d) s += q(b, h, i, d) * k(b, h, j, d);
      scores.back() = s / std::sqrt(static_cast<double>(k.extent(3)));
      top = std::max(top, scores.back());
    }
    for (Index j = 0; j < k.extent(2); ++j) {
      if (!sees(b, i, j)) continue;
      const double p = std::exp(scores[static_cast<std::size_t>(j)] - top);
      sum += p;
      value += p * v(b, h, j, e);
    }
    return sum > 0 ? value / sum : 0;
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

TEST_CASE("softmax attention sees neither padding nor other sequences, forward and backward, with any threads") {
  const nn::SoftmaxAttention<double> attention;
  for (const bool packed : {false, true}) {
    INFO("packed " << packed);
    const Index batch = packed ? 1 : 3, length = packed ? 420 : 150;
    Problem p(batch, 2, length, 4, 3);
    p.key_mask = Tensor<bool, 2>({batch, length});
    p.key_mask.fill(true);
    if (packed) {
      p.cuts = {0, 3, 3, 203, 204, 333, 420};
      for (const Index t : {3, 50, 130, 203}) p.key_mask(0, t) = false;  // 203 is a sequence of its own: sees nothing
    } else {
      for (Index t = 60; t < length; ++t) p.key_mask(0, t) = false;  // all of the second tile of keys
      for (Index t = 0; t < length; ++t) p.key_mask(1, t) = false;
      p.key_mask(2, 0) = p.key_mask(2, 77) = false;
    }
    Tensor<double, 4> y(p.dy.shape()), dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
    Tensor<double, 3> log_sum({batch, 2, length});
    for (auto* tensor : {&y, &dq, &dk, &dv}) tensor->fill(std::nan(""));
    Workspace workspace;
    attention.forward(p.inputs(), y, log_sum, workspace, {});
    for (Index b = 0; b < batch; ++b) {
      for (Index i = 0; i < length; i += i < 6 || (i > 200 && i < 206) ? 1 : 13) {
        INFO("token " << b << ", " << i);
        REQUIRE(y(b, 1, i, 2) == Approx(p.defined(b, 1, i, 2)).epsilon(1e-12).margin(1e-14));
      }
    }
    attention.backward(p.inputs(), y, log_sum, p.dy, {dq, dk, dv}, workspace, {});
    const Tensor<double, 4> once = y.clone(), dk_once = dk.clone();
    ThreadPool pool(3);
    const auto f = [&] {
      attention.forward(p.inputs(), y, {}, workspace, pool);
      return inner(y, p.dy);
    };
    require_gradient("q", p.q.data(), p.q.size(), dq.data(), f);
    require_gradient("k", p.k.data(), p.k.size(), dk.data(), f);
    require_gradient("v", p.v.data(), p.v.size(), dv.data(), f);
    f();
    attention.backward(p.inputs(), y, log_sum, p.dy, {dq, dk, dv}, workspace, pool);
    REQUIRE(std::equal(once.data(), once.data() + once.size(), y.data()));
    REQUIRE(std::equal(dk_once.data(), dk_once.data() + dk_once.size(), dk.data()));
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

TEST_CASE("softmax attention refuses shapes that do not fit") {
  const nn::SoftmaxAttention<double> attention;
  const Problem p(1, 2, 4, 4, 3);
  Tensor<double, 4> y(p.dy.shape());
  Workspace workspace;
  AttentionInputs<double> in = p.inputs();
  in.k = View<const double, 4>(p.k.data(), {1, 2, 3, 4});
  require_error<ArgumentError>([&] { attention.forward(in, y, {}, workspace, {}); },
                               "softmax_attention: k has shape [1,2,3,4], expected [1,2,4,4] to match q");
  in = p.inputs();
  const std::array<Index, 2> lengths{0, 5};
  in.cu_seqlens = lengths;
  require_error<ArgumentError>([&] { attention.forward(in, y, {}, workspace, {}); },
                               "attention: cu_seqlens[1] is 5, expected the length 4");
}
