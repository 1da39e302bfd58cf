#pragma once
/// Each token less its mean, over its deviation.

#include <cmath>

#include "lion/nn/parameter.hpp"
#include "lion/nn/product.hpp"

namespace lion::nn {

/// y = (x - mean) / √(variance + ε) · weight + bias over the C entries of a token; x, y [N,C], rows may lie apart.
template <Real S>
class LayerNorm {
 public:
  LayerNorm() = default;
  /// Parameters `name`.weight (one) and `name`.bias (zero), [C].
  LayerNorm(const std::string& name, Index width, double epsilon = 1e-6)
      : weight(Parameter<S>::without_grad(name + ".weight", {width}, false)),
        bias(Parameter<S>::without_grad(name + ".bias", {width}, false)),
        epsilon_(static_cast<S>(epsilon)) {
    weight.value.fill(S(1));
  }

  /// y may be x. Mean and 1/deviation of each token go to `statistics` [N,2] if present, for backward.
  void forward(const View<const S, 2>& x, const View<S, 2>& y, const Executor& executor,
               const View<S, 2>& statistics = {}) const {
    require_shape<2>("layer_norm", "x", x.shape(), {y.extent(0), weight.size()});
    require_shape<2>("layer_norm", "y", y.shape(), x.shape());
    const Index width = x.extent(1);
    detail::for_each_block(x.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      const Row<const S> w(weight.value.data(), width), b(bias.value.data(), width);
      for (Index t = first; t < first + n; ++t) {
        const Row<const S> in(x.at(t), width);
        const S mean = in.mean();
        const S scale = S(1) / std::sqrt((in - mean).square().mean() + epsilon_);
        Row<S>(y.at(t), width) = (in - mean) * scale * w + b;
        if (!statistics) continue;
        statistics(t, 0) = mean;
        statistics(t, 1) = scale;
      }
    });
  }

  /// dx += the gradient of x, or dx = it unless `add` (then dx may be dy), and the gradients of weight and bias are
  /// added to theirs. x and statistics as forward had and gave them; scratch of `backward_scratch(N)` elements.
  void backward(const View<const S, 2>& dy, const View<const S, 2>& x, const View<const S, 2>& statistics,
                const View<S, 2>& dx, S* scratch, const Executor& executor, bool add = true) {
    const Index tokens = x.extent(0), width = x.extent(1);
    detail::for_each_block(tokens, kRowBlock, executor, [&](Index first, Index n) {
      const Row<const S> w(weight.value.data(), width);
      Row<S> dw(scratch + first / kRowBlock * 2 * width, width), db(dw.data() + width, width);
      dw.setZero();
      db.setZero();
      for (Index t = first; t < first + n; ++t) {
        const Row<const S> upstream(dy.at(t), width), in(x.at(t), width);
        const S mean = statistics(t, 0), scale = statistics(t, 1);
        const auto normal = (in - mean) * scale;  // [C]
        const auto inner = upstream * w;
        const S average = inner.mean(), along = (inner * normal).mean();
        dw += upstream * normal;
        db += upstream;
        Row<S> out(dx.at(t), width);
        if (add) {
          out += scale * (inner - average - normal * along);
        } else {
          out = scale * (inner - average - normal * along);
        }
      }
    });
    Row<S> dw(weight.grad.data(), width), db(bias.grad.data(), width);
    for (Index block = 0; block < detail::blocks(tokens, kRowBlock); ++block) {
      dw += Row<const S>(scratch + block * 2 * width, width);
      db += Row<const S>(scratch + (block * 2 + 1) * width, width);
    }
  }

  /// Elements of scratch that backward needs: the sums of each block of tokens.
  Index backward_scratch(Index tokens) const { return detail::blocks(tokens, kRowBlock) * 2 * weight.size(); }

  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
    f(bias);
  }

  Parameter<S> weight;  ///< [C]
  Parameter<S> bias;    ///< [C]

 private:
  template <class T>
  using Row = Eigen::Map<std::conditional_t<std::is_const_v<T>, const Eigen::Array<std::remove_const_t<T>, -1, 1>,
                                            Eigen::Array<std::remove_const_t<T>, -1, 1>>>;

  S epsilon_ = S(1e-6);
};

}  // namespace lion::nn
