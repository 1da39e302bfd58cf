#pragma once
/// Non-owning strided views over the caller's memory.

#include <array>
#include <string>
#include <type_traits>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion {

template <std::size_t Rank>
using Shape = std::array<Index, Rank>;

/// Strides of a dense row-major tensor of this shape.
template <std::size_t Rank>
constexpr Shape<Rank> dense_strides(const Shape<Rank>& shape) {
  Shape<Rank> strides{};
  Index step = 1;
  for (std::size_t r = Rank; r-- > 0;) {
    strides[r] = step;
    step *= shape[r];
  }
  return strides;
}

template <std::size_t Rank>
constexpr Index count(const Shape<Rank>& shape) {
  Index n = 1;
  for (Index extent : shape) n *= extent;
  return n;
}

/// "[2,12,197,64]"; an extent of -1 reads "*" (anything).
template <std::size_t Rank>
std::string to_string(const Shape<Rank>& shape) {
  std::string text = "[";
  for (std::size_t r = 0; r < Rank; ++r) {
    text += (r ? "," : "") + (shape[r] < 0 ? std::string("*") : std::to_string(shape[r]));
  }
  return text + "]";
}

/// A tensor of `Rank` dimensions in memory that someone else owns. Strides count elements and may be anything; the
/// operator asks for a contiguous last dimension. A default-constructed view is absent: `if (view)` is false.
template <class T, std::size_t Rank>
class View {
 public:
  using value_type = std::remove_const_t<T>;

  constexpr View() = default;
  constexpr View(T* data, const Shape<Rank>& shape) : View(data, shape, dense_strides(shape)) {}
  constexpr View(T* data, const Shape<Rank>& shape, const Shape<Rank>& strides)
      : data_(data), shape_(shape), strides_(strides), present_(true) {}

  /// A view of constants from a view of variables.
  template <class U>
    requires(std::same_as<U, const T> && !std::is_const_v<T>)
  constexpr operator View<U, Rank>() const {
    return present_ ? View<const T, Rank>(data_, shape_, strides_) : View<const T, Rank>();
  }

  constexpr explicit operator bool() const { return present_; }
  constexpr T* data() const { return data_; }
  constexpr const Shape<Rank>& shape() const { return shape_; }
  constexpr const Shape<Rank>& strides() const { return strides_; }
  constexpr Index extent(std::size_t r) const { return shape_[r]; }
  constexpr Index stride(std::size_t r) const { return strides_[r]; }
  constexpr Index size() const { return count(shape_); }

  /// Address of the element at the leading indices given, zero in the others: `x.at(b, h)` is where [L,D] begins.
  template <class... Is>
    requires(sizeof...(Is) <= Rank)
  constexpr T* at(Is... is) const {
    Index offset = 0;
    std::size_t r = 0;
    ((offset += static_cast<Index>(is) * strides_[r++]), ...);
    return data_ + offset;
  }

  template <class... Is>
    requires(sizeof...(Is) == Rank)
  constexpr T& operator()(Is... is) const {
    return *at(is...);
  }

  /// Whether each row of the last dimension lies densely in memory.
  constexpr bool rows_contiguous() const { return shape_[Rank - 1] <= 1 || strides_[Rank - 1] == 1; }

 private:
  T* data_ = nullptr;
  Shape<Rank> shape_{};
  Shape<Rank> strides_{};
  bool present_ = false;
};

/// Throws ArgumentError unless `shape` is `expected` (where -1 stands for anything).
template <std::size_t Rank>
void require_shape(const char* operation, const char* argument, const Shape<Rank>& shape, const Shape<Rank>& expected,
                   const char* reason = "") {
  for (std::size_t r = 0; r < Rank; ++r) {
    if (shape[r] < 0 || (expected[r] >= 0 && shape[r] != expected[r])) {
      throw ArgumentError(std::string(operation) + ": " + argument + " has shape " + to_string(shape) + ", expected " +
                          to_string(expected) + reason);
    }
  }
}

/// Throws ArgumentError unless each row of the last dimension lies densely in memory.
template <class T, std::size_t Rank>
void require_contiguous_rows(const char* operation, const char* argument, const View<T, Rank>& view) {
  if (view.rows_contiguous()) return;
  throw ArgumentError(std::string(operation) + ": " + argument + " has stride " +
                      std::to_string(view.stride(Rank - 1)) + " in its last dimension, expected 1");
}

}  // namespace lion
