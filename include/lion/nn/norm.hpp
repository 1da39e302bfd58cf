#pragma once
/// The norm of a block, of either kind.

#include <utility>
#include <variant>

#include "lion/nn/layer_norm.hpp"
#include "lion/nn/rms_norm.hpp"

namespace lion::nn {

/// LayerNorm or RmsNorm, whose interface it has: y [N,C] from x [N,C], keeping `statistics` [N,2] for backward.
template <Real S>
class Norm {
 public:
  Norm() = default;
  Norm(LayerNorm<S> norm) : norm_(std::move(norm)) {}  // NOLINT: either is a norm
  Norm(RmsNorm<S> norm) : norm_(std::move(norm)) {}    // NOLINT

  void forward(const View<const S, 2>& x, const View<S, 2>& y, const Executor& executor,
               const View<S, 2>& statistics = {}) const {
    std::visit([&](const auto& norm) { norm.forward(x, y, executor, statistics); }, norm_);
  }

  /// dx += the gradient of x; scratch of `backward_scratch(N)` elements.
  void backward(const View<const S, 2>& dy, const View<const S, 2>& x, const View<const S, 2>& statistics,
                const View<S, 2>& dx, S* scratch, const Executor& executor) {
    std::visit([&](auto& norm) { norm.backward(dy, x, statistics, dx, scratch, executor); }, norm_);
  }

  Index backward_scratch(Index tokens) const {
    return std::visit([&](const auto& norm) { return norm.backward_scratch(tokens); }, norm_);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    std::visit([&](auto& norm) { norm.for_each_parameter(f); }, norm_);
  }

 private:
  std::variant<LayerNorm<S>, RmsNorm<S>> norm_;
};

}  // namespace lion::nn
