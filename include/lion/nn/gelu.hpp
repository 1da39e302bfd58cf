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
  for (const float c :
       {-0.5090948415f, 0.5437005319f, -0.09155019274f, 0.2134321587f, 0.148777598f, 0.1706436687f, 0.1691929724f}) {
    p = p * t + c;
  }
  return 0.5f * exponential * t * p;
}

/// y = x·Φ(x) and, if `derivative` is not nullptr, Φ(x) + x·φ(x), of a vector.
inline void gelu_vector(const float* from, float* y, float* derivative) {
  constexpr float density = 0.5f * std::numbers::inv_sqrtpi_v<float> * std::numbers::sqrt2_v<float>;  // 1/√(2π)
  const cpu::Packed<float> x = cpu::load(from), zero{};
  const cpu::Packed<float> exponential = cpu::exponential<float>(-0.5f * x * x);
  const cpu::Packed<float> size = x < zero ? -x : x;
  const cpu::Packed<float> tail = upper_tail(size, exponential), rest = 1.0f - tail;
  const cpu::Packed<float> below = x < zero ? tail : rest;
  cpu::store(y, x * below);
  if (derivative) cpu::store(derivative, below + x * density * exponential);
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
  } else {
    constexpr Index W = cpu::kWidth<float>;
    Index i = 0;
    for (; i + W <= n; i += W) detail::gelu_vector(x + i, y + i, derivative ? derivative + i : nullptr);
    if (i == n) return;
    float last[W] = {}, slope[W];
    std::copy_n(x + i, n - i, last);
    detail::gelu_vector(last, last, derivative ? slope : nullptr);
    std::copy_n(last, n - i, y + i);
    if (derivative) std::copy_n(slope, n - i, derivative + i);
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
