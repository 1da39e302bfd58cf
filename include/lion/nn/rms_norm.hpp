#pragma once
/// Each token over the root of its mean square.

#include <cmath>

#include "lion/nn/parameter.hpp"
#include "lion/nn/product.hpp"

namespace lion::nn {

/// y = x / √(mean of x² + ε) · weight over the C entries of a token; x, y [N,C], rows may lie apart (Zhang and
/// Sennrich, arXiv 1910.07467).
template <Real S>
class RmsNorm {
 public:
  RmsNorm() = default;
  /// Parameter `name`.weight (one) [C].
  RmsNorm(const std::string& name, Index width, double epsilon = 1e-5)
      : weight(Parameter<S>::without_grad(name + ".weight", {width}, false)), epsilon_(static_cast<S>(epsilon)) {
    weight.value.fill(S(1));
  }

  /// y may be x. 1/root of each token goes to column 0 of `statistics` [N,1 or more] if present, for backward.
  void forward(const View<const S, 2>& x, const View<S, 2>& y, const Executor& executor,
               const View<S, 2>& statistics = {}) const {
    require_shape<2>("rms_norm", "x", x.shape(), {y.extent(0), weight.size()});
    require_shape<2>("rms_norm", "y", y.shape(), x.shape());
    const Index width = x.extent(1);
    detail::for_each_block(x.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      const Row<const S> w(weight.value.data(), width);
      for (Index t = first; t < first + n; ++t) {
        const Row<const S> in(x.at(t), width);
        const S scale = S(1) / std::sqrt(in.square().mean() + epsilon_);
        Row<S>(y.at(t), width) = in * scale * w;
        if (statistics) statistics(t, 0) = scale;
      }
    });
  }

  /// dx += the gradient of x, or dx = it unless `add` (then dx may be dy); the gradient of weight is added to its. x
  /// and statistics as forward had and gave them; scratch of `backward_scratch(N)` elements.
  void backward(const View<const S, 2>& dy, const View<const S, 2>& x, const View<const S, 2>& statistics,
                const View<S, 2>& dx, S* scratch, const Executor& executor, bool add = true) {
    const Index tokens = x.extent(0), width = x.extent(1);
    detail::for_each_block(tokens, kRowBlock, executor, [&](Index first, Index n) {
      const Row<const S> w(weight.value.data(), width);
      Row<S> dw(scratch + first / kRowBlock * width, width);
      dw.setZero();
      for (Index t = first; t < first + n; ++t) {
        const Row<const S> upstream(dy.at(t), width), in(x.at(t), width);
        const S scale = statistics(t, 0);
        const S along = (upstream * w * in).mean() * scale * scale;
        dw += upstream * in * scale;
        const auto gradient = scale * (upstream * w - in * along);
        Row<S> to(dx.at(t), width);
        if (add) {
          to += gradient;
        } else {
          to = gradient;
        }
      }
    });
    Row<S> dw(weight.grad.data(), width);
    for (Index block = 0; block < detail::blocks(tokens, kRowBlock); ++block) {
      dw += Row<const S>(scratch + block * width, width);
    }
  }

  /// Elements of scratch that backward needs: the sums of each block of tokens.
  Index backward_scratch(Index tokens) const { return detail::blocks(tokens, kRowBlock) * weight.size(); }

  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
  }

  Parameter<S> weight;  ///< [C]

 private:
  template <class T>
  using Row = Eigen::Map<std::conditional_t<std::is_const_v<T>, const Eigen::Array<std::remove_const_t<T>, -1, 1>,
                                            Eigen::Array<std::remove_const_t<T>, -1, 1>>>;

  S epsilon_ = S(1e-5);
};

}  // namespace lion::nn
