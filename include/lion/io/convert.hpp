#pragma once
/// Elements of a file into elements of the program: any alignment, any pair of types that means the same.

#include <cstring>
#include <utility>

#include "lion/io/dtype.hpp"

namespace lion::io {

/// Whether elements of `dtype` can be read as T: floating point as floating point, integers and booleans as integers,
/// booleans and U8 as bool.
template <Element T>
constexpr bool readable_as(Dtype dtype) {
  if constexpr (Scalar<T>) return is_real(dtype);
  if constexpr (std::same_as<T, bool>) return dtype == Dtype::kBool || dtype == Dtype::kU8;
  return is_integral(dtype);
}

/// The types `readable_as<T>` admits, in words, for messages.
template <Element T>
constexpr const char* readable_types() {
  if constexpr (Scalar<T>) return "F16, BF16, F32 or F64";
  if constexpr (std::same_as<T, bool>) return "BOOL or U8";
  return "an integer type or BOOL";
}

namespace detail {

/// One element from anywhere: memcpy, for the file promises no alignment. Any byte but 0 is a true bool.
template <Element T>
T load(const std::byte* from) {
  if constexpr (std::same_as<T, bool>) {
    return *from != std::byte{0};
  } else {
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
  }
}

/// Floating point to floating point through float, or through double where one side is double.
template <Scalar To, Scalar From>
To convert_real(From value) {
  if constexpr (std::same_as<To, From>)
    return value;
  else if constexpr (std::same_as<To, double>)
    return static_cast<double>(static_cast<accumulator_t<From>>(value));
  else
    return static_cast<To>(static_cast<float>(value));
}

/// Copies n elements stored as From to out[0], out[stride], …; returns how many came before the first that T cannot
/// hold (n if all could).
template <Element From, Element T>
Index convert_elements(const std::byte* from, T* out, Index n, Index stride) {
  if constexpr (std::same_as<From, T> && !std::same_as<T, bool>) {
    if (stride == 1) {
      if (n > 0) std::memcpy(static_cast<void*>(out), from, sizeof(T) * static_cast<std::size_t>(n));
      return n;
    }
  }
  for (Index i = 0; i < n; ++i, from += sizeof(From)) {
    const From value = load<From>(from);
    if constexpr (Scalar<T>) {
      out[i * stride] = convert_real<T>(value);
    } else if constexpr (std::same_as<T, bool>) {
      out[i * stride] = value != From(0);
    } else if constexpr (std::same_as<From, bool>) {
      out[i * stride] = static_cast<T>(value ? 1 : 0);
    } else {
      if (!std::in_range<T>(value)) return i;
      out[i * stride] = static_cast<T>(value);
    }
  }
  return n;
}

}  // namespace detail

/// Converts n elements of `dtype` that lie densely at `from`, at any alignment, to out[0], out[stride], …. Narrower
/// floating point is rounded to nearest (from F64 to bfloat16 and half by way of float). Requires
/// readable_as<T>(dtype). Returns the number of elements before the first that T cannot hold (n if all could; only
/// integers can fail).
template <Element T>
Index convert(Dtype dtype, const std::byte* from, T* out, Index n, Index stride = 1) {
  Index done = 0;
  with_type(dtype, [&](auto type) {
    using From = typename decltype(type)::type;
    if constexpr (readable_as<T>(dtype_of<From>())) done = detail::convert_elements<From>(from, out, n, stride);
  });
  return done;
}

}  // namespace lion::io
