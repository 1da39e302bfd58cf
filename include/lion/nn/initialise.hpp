#pragma once
/// What weights start from.

#include <cmath>
#include <numbers>

#include "lion/nn/parameter.hpp"
#include "lion/nn/random.hpp"

namespace lion::nn {

/// Normal with this deviation, cut at ±2 deviations (timm's linear layers, tokens and positions: 0.02).
template <Real S>
void truncated_normal(Parameter<S>& p, double deviation, const PlacedRandom& random) {
  std::uint64_t drawn = 0;
  for (Index i = 0; i < p.size(); ++i) {
    double x = 3;
    while (std::abs(x) > 2) {  // Box and Muller; 1 - u is in (0, 1]
      const double radius = std::sqrt(-2 * std::log(1 - random.uniform(drawn)));
      x = radius * std::cos(2 * std::numbers::pi * random.uniform(drawn + 1));
      drawn += 2;
    }
    p.value(i) = static_cast<S>(deviation * x);
  }
}

/// Uniform in [-bound, bound) (timm's patch embedding: bound = fan_in^-1/2).
template <Real S>
void uniform(Parameter<S>& p, double bound, const PlacedRandom& random) {
  for (Index i = 0; i < p.size(); ++i) {
    p.value(i) = static_cast<S>(bound * (2 * random.uniform(static_cast<std::uint64_t>(i)) - 1));
  }
}

}  // namespace lion::nn
