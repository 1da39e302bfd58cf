#pragma once
/// The element types of safetensors: their names in the file, their sizes, and the C++ types that hold them.

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lion/core/scalar.hpp"

namespace lion::io {

static_assert(std::endian::native == std::endian::little,
              "lion::io: safetensors are little-endian, and so must be the machine");

/// Element type of a stored tensor. The two 8-bit floating-point types are known (size, bytes) but not converted.
enum class Dtype { kBool, kU8, kI8, kF8E5M2, kF8E4M3, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64 };

namespace detail {
struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  std::size_t size;  // bytes
};
inline constexpr std::array<DtypeRow, 15> kDtypes{{{Dtype::kBool, "BOOL", 1},
                                                   {Dtype::kU8, "U8", 1},
                                                   {Dtype::kI8, "I8", 1},
                                                   {Dtype::kF8E5M2, "F8_E5M2", 1},
                                                   {Dtype::kF8E4M3, "F8_E4M3", 1},
                                                   {Dtype::kI16, "I16", 2},
                                                   {Dtype::kU16, "U16", 2},
                                                   {Dtype::kF16, "F16", 2},
                                                   {Dtype::kBF16, "BF16", 2},
                                                   {Dtype::kI32, "I32", 4},
                                                   {Dtype::kU32, "U32", 4},
                                                   {Dtype::kF32, "F32", 4},
                                                   {Dtype::kF64, "F64", 8},
                                                   {Dtype::kI64, "I64", 8},
                                                   {Dtype::kU64, "U64", 8}}};
constexpr bool rows_follow_enum() {
  for (std::size_t i = 0; i < kDtypes.size(); ++i) {
    if (static_cast<std::size_t>(kDtypes[i].dtype) != i) return false;
  }
  return true;
}
static_assert(rows_follow_enum());
}  // namespace detail

/// Its name in the file: "BF16".
constexpr std::string_view name_of(Dtype dtype) { return detail::kDtypes[static_cast<std::size_t>(dtype)].name; }

/// Bytes of one element.
constexpr std::size_t size_of(Dtype dtype) { return detail::kDtypes[static_cast<std::size_t>(dtype)].size; }

/// The type of this name, or none.
constexpr std::optional<Dtype> dtype_named(std::string_view name) {
  for (const auto& row : detail::kDtypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

/// "BOOL, U8, …": every known name, for messages.
inline std::string dtype_names() {
  std::string text;
  for (const auto& row : detail::kDtypes) text.append(text.empty() ? "" : ", ").append(row.name);
  return text;
}

constexpr bool is_real(Dtype dtype) {
  return dtype == Dtype::kF16 || dtype == Dtype::kBF16 || dtype == Dtype::kF32 || dtype == Dtype::kF64;
}
constexpr bool is_integral(Dtype dtype) {
  return !is_real(dtype) && dtype != Dtype::kF8E5M2 && dtype != Dtype::kF8E4M3;
}

/// C++ types that tensors are read into and written from: the Scalars, bool, and the integers of 8 to 64 bits.
template <class T>
concept Element =
    Scalar<T> || std::same_as<T, bool> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
     !std::same_as<T, char16_t> && !std::same_as<T, char32_t> && sizeof(T) <= 8);

/// The type in which a T is stored.
template <Element T>
constexpr Dtype dtype_of() {
  if constexpr (std::same_as<T, float>)
    return Dtype::kF32;
  else if constexpr (std::same_as<T, double>)
    return Dtype::kF64;
  else if constexpr (std::same_as<T, bfloat16>)
    return Dtype::kBF16;
  else if constexpr (std::same_as<T, half>)
    return Dtype::kF16;
  else if constexpr (std::same_as<T, bool>)
    return Dtype::kBool;
  else if constexpr (sizeof(T) == 1)
    return std::signed_integral<T> ? Dtype::kI8 : Dtype::kU8;
  else if constexpr (sizeof(T) == 2)
    return std::signed_integral<T> ? Dtype::kI16 : Dtype::kU16;
  else if constexpr (sizeof(T) == 4)
    return std::signed_integral<T> ? Dtype::kI32 : Dtype::kU32;
  else
    return std::signed_integral<T> ? Dtype::kI64 : Dtype::kU64;
}

/// Calls f(std::type_identity<S>) with the C++ type that holds elements of `dtype`; false, and no call, for the 8-bit
/// floating-point types, which have none.
template <class F>
constexpr bool with_type(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::kBool:
      f(std::type_identity<bool>{});
      return true;
    case Dtype::kU8:
      f(std::type_identity<std::uint8_t>{});
      return true;
    case Dtype::kI8:
      f(std::type_identity<std::int8_t>{});
      return true;
    case Dtype::kI16:
      f(std::type_identity<std::int16_t>{});
      return true;
    case Dtype::kU16:
      f(std::type_identity<std::uint16_t>{});
      return true;
    case Dtype::kF16:
      f(std::type_identity<half>{});
      return true;
    case Dtype::kBF16:
      f(std::type_identity<bfloat16>{});
      return true;
    case Dtype::kI32:
      f(std::type_identity<std::int32_t>{});
      return true;
    case Dtype::kU32:
      f(std::type_identity<std::uint32_t>{});
      return true;
    case Dtype::kF32:
      f(std::type_identity<float>{});
      return true;
    case Dtype::kF64:
      f(std::type_identity<double>{});
      return true;
    case Dtype::kI64:
      f(std::type_identity<std::int64_t>{});
      return true;
    case Dtype::kU64:
      f(std::type_identity<std::uint64_t>{});
      return true;
    case Dtype::kF8E5M2:
    case Dtype::kF8E4M3:
      break;
  }
  return false;
}

}  // namespace lion::io
