#pragma once
/// Scalar types: what tensors may hold, and what arithmetic on them is done in.

#include <Eigen/Core>
#include <concepts>
#include <cstddef>
#include <string_view>

namespace lion {

/// Sizes, offsets and strides, counted in elements.
using Index = std::ptrdiff_t;

using bfloat16 = Eigen::bfloat16;
using half = Eigen::half;

template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// What a tensor may hold: float and double natively, bfloat16 and half as storage.
template <class T>
concept Scalar = Real<T> || std::same_as<T, bfloat16> || std::same_as<T, half>;

namespace detail {
template <class T>
struct Accumulator {
  using type = float;
};
template <>
struct Accumulator<double> {
  using type = double;
};
}  // namespace detail

/// Type of arithmetic, states, sums and denominators for tensors of T: float, or double for double.
template <Scalar T>
using accumulator_t = typename detail::Accumulator<T>::type;

template <Scalar T>
constexpr std::string_view name_of() {
  if constexpr (std::same_as<T, float>) return "float32";
  if constexpr (std::same_as<T, double>) return "float64";
  if constexpr (std::same_as<T, bfloat16>) return "bfloat16";
  return "float16";
}

}  // namespace lion
