#pragma once
/// y = x Wᵀ + b.

#include <array>

#include "lion/nn/initialise.hpp"
#include "lion/nn/product.hpp"

namespace lion::nn {

template <Real S>
class Linear;

template <Real S, std::size_t P>
void forward_layers(const View<const S, 2>& x, const std::array<const Linear<S>*, P>& layers,
                    const View<const S, 2>& residual, const View<S, 2>& y, Then<S> then, const Executor& executor);

/// Tokens x [N,I] to y [N,O], with `weight` [O,I] and, unless made without one, `bias` [O]. Rows of x and y may lie
/// apart.
template <Real S>
class Linear {
 public:
  Linear() = default;
  /// Parameters `name`.weight (whose shape in files may be another of O·I entries) and `name`.bias, both zero.
  Linear(const std::string& name, Index in, Index out, std::vector<Index> weight_shape = {})
      : weight(Parameter<S>::without_grad(
            name + ".weight", weight_shape.empty() ? std::vector<Index>{out, in} : std::move(weight_shape), true)),
        bias(Parameter<S>::without_grad(name + ".bias", {out}, false)),
        in_(in),
        out_(out) {
    weight.matrix = true;
  }

  /// The same without a bias.
  static Linear without_bias(const std::string& name, Index in, Index out) {
    Linear linear(name, in, out);
    linear.bias = {};
    return linear;
  }

  Index in() const { return in_; }
  Index out() const { return out_; }

  /// Weight truncated normal of deviation 0.02, bias 0: as timm.
  void initialise(const PlacedRandom& random) {
    weight.require_unpacked();
    truncated_normal(weight, 0.02, random);
    bias.value.fill(S(0));
  }

  /// y = x Wᵀ + b (+ residual, which may be y itself), or `then` of it.
  void forward(const View<const S, 2>& x, const View<S, 2>& y, const Executor& executor,
               const View<const S, 2>& residual = {}, Then<S> then = nullptr) const {
    require_shape<2>("linear", "x", x.shape(), {y.extent(0), in_});
    require_shape<2>("linear", "y", y.shape(), {x.extent(0), out_});
    forward_layers<S, 1>(x, {this}, residual, y, then, executor);
  }

  /// dx = dy W, or dx += dy W if `add`.
  void backward_input(const View<const S, 2>& dy, const View<S, 2>& dx, const Executor& executor,
                      bool add = false) const {
    weight.require_unpacked();
    linear_product_input_gradient(dy, weight.value.data(), dx, add, executor);
  }

  /// Adds to the gradients of weight and bias; x as forward had it.
  void backward_weights(const View<const S, 2>& dy, const View<const S, 2>& x, const Executor& executor) {
    weight.require_unpacked();
    linear_product_weight_gradient(dy, x, weight.grad.data(), bias.grad.data(), executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
    if (bias.size() > 0) f(bias);
  }

  Parameter<S> weight;  ///< [O,I]
  Parameter<S> bias;    ///< [O], or empty

 private:
  Index in_ = 0, out_ = 0;
};

/// Layers side by side (product.hpp), all of them packed or none.
template <Real S, std::size_t P>
void forward_layers(const View<const S, 2>& x, const std::array<const Linear<S>*, P>& layers,
                    const View<const S, 2>& residual, const View<S, 2>& y, Then<S> then, const Executor& executor) {
  std::array<const S*, P> weights, biases;
  std::array<const cpu::PackedMatrix*, P> packed;
  for (std::size_t p = 0; p < P; ++p) {
    const cpu::PackedMatrix &first = layers[0]->weight.packed, &own = layers[p]->weight.packed;
    if (first.empty() != own.empty() || first.type() != own.type()) {
      throw ArgumentError(layers[p]->weight.name + " is not packed as " + layers[0]->weight.name +
                          " is, expected layers side by side to be alike");
    }
    weights[p] = layers[p]->weight.value.data();
    biases[p] = layers[p]->bias.value.data();
    packed[p] = &layers[p]->weight.packed;
  }
  if constexpr (std::same_as<S, float>) {
    if (!packed[0]->empty()) return packed_product<S>(x, packed, biases, residual, y, then, executor);
  }
  linear_product<S>(x, weights, biases, residual, y, then, executor);
}

}  // namespace lion::nn
