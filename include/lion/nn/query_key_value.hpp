#pragma once
/// Three linear layers of one input, side by side in one output: the projections of a BERT layer.

#include <array>

#include "lion/nn/linear.hpp"

namespace lion::nn {

/// Tokens x [N,C] to [q|k|v] [N,3C], computed as one product: what a Linear of 3C outputs is, with parameters of their
/// own for each third.
template <Real S>
class QueryKeyValue {
 public:
  QueryKeyValue() = default;
  /// Parameters `name`.query, `name`.key and `name`.value, each with .weight [C,C] and .bias [C].
  QueryKeyValue(const std::string& name, Index width)
      : parts{Linear<S>(name + ".query", width, width), Linear<S>(name + ".key", width, width),
              Linear<S>(name + ".value", width, width)} {}

  void initialise(const PlacedRandom& random) {
    for (std::size_t p = 0; p < parts.size(); ++p) parts[p].initialise(random.stream(p));
  }

  void forward(const View<const S, 2>& x, const View<S, 2>& y, const Executor& executor) const {
    forward_layers<S, 3>(x, {&parts[0], &parts[1], &parts[2]}, {}, y, nullptr, executor);
  }

  /// dx = the gradient of x.
  void backward_input(const View<const S, 2>& dy, const View<S, 2>& dx, const Executor& executor) const {
    for (const Linear<S>& part : parts) part.weight.require_unpacked();
    const auto weights = each<const S>(*this, [](auto& part) { return part.weight.value.data(); });
    linear_product_input_gradient<S>(dy, weights, dx, false, executor);
  }

  /// Adds to the gradients of weights and biases; x as forward had it.
  void backward_weights(const View<const S, 2>& dy, const View<const S, 2>& x, const Executor& executor) {
    for (const Linear<S>& part : parts) part.weight.require_unpacked();
    const auto weights = each<S>(*this, [](auto& part) { return part.weight.grad.data(); });
    const auto biases = each<S>(*this, [](auto& part) { return part.bias.grad.data(); });
    linear_product_weight_gradient<S>(dy, x, weights, biases, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    for (Linear<S>& part : parts) part.for_each_parameter(f);
  }

  std::array<Linear<S>, 3> parts;  ///< query, key, value

 private:
  template <class T, class Self, class F>
  static std::array<T*, 3> each(Self& self, F&& f) {
    return {f(self.parts[0]), f(self.parts[1]), f(self.parts[2])};
  }
};

}  // namespace lion::nn
