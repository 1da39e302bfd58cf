#pragma once
/// The exact (erf) GELU, x·Φ(x) with Φ the normal distribution, and its derivative.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lion/cpu/exponential.hpp"
#include "lion/nn/product.hpp"

namespace lion::nn {

namespace detail {

/// 1 - Φ(|x|), given e^{-x²/2}: erfc(z)·e^{z²} as a polynomial in t = 1/(1 + 0.3 z), fitted to a relative error of 2e-8
/// on [0, 9]; it vectorises and takes its exponential from what the derivative needs anyway.
inline cpu::Packed<float> upper_tail(const cpu::Packed<float>& size, const cpu::Packed<float>& exponential) {
  const cpu::Packed<float> t = 1.0f / (1.0f + (0.3f / std::numbers::sqrt2_v<float>)*size);
  cpu::Packed<float> p = 0.4841531057f + -0.1292550204f * t;
  const auto horner = [&](auto... coefficients) { ((p = p * t + coefficients), ...); };
  horner(-0.5090948415f, 0.5437005319f, -0.09155019274f, 0.2134321587f, 0.148777598f, 0.1706436687f, 0.1691929724f);
  return 0.5f * exponential * t * p;
}

/// give(value, derivative) of the GELU of a vector; the derivative only if it is wanted.
template <bool wanted, class Give>
inline void gelu_of(const cpu::Packed<float>& x, Give&& give) {
  constexpr float density = 0.5f * std::numbers::inv_sqrtpi_v<float> * std::numbers::sqrt2_v<float>;  // 1/√(2π)
  const auto below_zero = x < 0.0f;
  const cpu::Packed<float> exponential = cpu::exponential<float>(-0.5f * x * x);
  const cpu::Packed<float> tail = upper_tail(below_zero ? -x : x, exponential);
  const cpu::Packed<float> below = below_zero ? tail : 1.0f - tail;
  if constexpr (wanted) {
    give(x * below, below + x * density * exponential);
  } else {
    give(x * below, below);
  }
}

/// The same for n values, of which the last are less than a vector.
template <bool wanted>
void gelu_row(const float* x, float* y, float* derivative, Index n) {
  constexpr Index W = cpu::kWidth<float>;
  Index i = 0;
  for (; i + W <= n; i += W) {
    gelu_of<wanted>(cpu::load(x + i), [&](const auto& value, const auto& slope) {
      cpu::store(y + i, value);
      if constexpr (wanted) cpu::store(derivative + i, slope);
    });
  }
  if (i == n) return;
  float last[W] = {};
  std::copy_n(x + i, n - i, last);
  gelu_of<wanted>(cpu::load(last), [&](const auto& value, const auto& slope) {
    std::copy_n(reinterpret_cast<const float*>(&value), n - i, y + i);
    if constexpr (wanted) std::copy_n(reinterpret_cast<const float*>(&slope), n - i, derivative + i);
  });
}

}  // namespace detail

/// y = x·Φ(x) and, if `derivative` is not nullptr, Φ(x) + x·φ(x); all [n]. y or derivative may be x.
template <Real S>
void gelu(const S* x, S* y, S* derivative, Index n) {
  if constexpr (std::same_as<S, double>) {
    constexpr double density = 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;  // 1/√(2π)
    for (Index i = 0; i < n; ++i) {
      const double at = x[i], below = 0.5 * std::erfc(-at / std::numbers::sqrt2);
      y[i] = at * below;
      if (derivative) derivative[i] = below + at * density * std::exp(-0.5 * at * at);
    }
  } else if (derivative) {
    detail::gelu_row<true>(x, y, derivative, n);
  } else {
    detail::gelu_row<false>(x, y, nullptr, n);
  }
}

/// The same in place, as what follows a product.
template <Real S>
void gelu_in_place(S* x, Index n) {
  gelu<S>(x, x, nullptr, n);
}

/// The same for the rows of x, y and, if present, derivative, all [N,C].
template <Real S>
void gelu(const View<const S, 2>& x, const View<S, 2>& y, const View<S, 2>& derivative, const Executor& executor) {
  const Index width = x.extent(1);
  detail::for_each_block(x.extent(0), kRowBlock / 4, executor, [&](Index first, Index n) {
    for (Index t = first; t < first + n; ++t) {
      gelu(x.at(t), y.at(t), derivative ? derivative.at(t) : nullptr, width);
    }
  });
}

}  // namespace lion::nn
