#pragma once
/// Gradients kept within a ball.

#include <cmath>
#include <span>
#include <string>

#include "lion/nn/parameter.hpp"

namespace lion::train {

/// The L2 norm of all gradients together, summed in double in the order of the list.
template <Real S>
double grad_norm(std::span<nn::Parameter<S>* const> parameters) {
  double sum = 0;
  for (const nn::Parameter<S>* p : parameters) {
    const S* g = p->grad.data();
    for (Index i = 0; i < p->grad.size(); ++i) sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  }
  return std::sqrt(sum);
}

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)), as PyTorch's clip_grad_norm_, and returns the norm they
/// had. A norm that is not finite is returned and the gradients left alone. max_norm > 0.
template <Real S>
double clip_grad_norm(std::span<nn::Parameter<S>* const> parameters, double max_norm) {
  if (!(max_norm > 0)) {
    throw ArgumentError("clip_grad_norm: max_norm is " + std::to_string(max_norm) + ", expected a value above 0");
  }
  const double norm = grad_norm(parameters);
  const double factor = max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || factor >= 1) return norm;
  for (nn::Parameter<S>* p : parameters) {
    S* g = p->grad.data();
    for (Index i = 0; i < p->grad.size(); ++i) g[i] = static_cast<S>(static_cast<double>(g[i]) * factor);
  }
  return norm;
}

}  // namespace lion::train
