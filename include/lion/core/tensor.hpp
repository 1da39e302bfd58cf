#pragma once
/// A dense tensor that owns its memory; everything below it works on views.

#include <algorithm>
#include <memory>
#include <new>

#include "lion/core/view.hpp"

namespace lion {

/// Alignment of owned memory and of scratch, in bytes: a cache line, and the widest vector of today's CPUs.
inline constexpr std::size_t kAlignment = 64;

namespace detail {
struct AlignedDelete {
  void operator()(void* p) const { ::operator delete(p, std::align_val_t(kAlignment)); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;
inline AlignedBytes aligned_bytes(std::size_t n) {
  return AlignedBytes(
      static_cast<std::byte*>(::operator new((std::max<std::size_t>)(n, 1), std::align_val_t(kAlignment))));
}
}  // namespace detail

/// Row-major, zero-initialised, 64-byte aligned; moves, and copies only through `clone`.
template <class T, std::size_t Rank>
class Tensor {
  static_assert(std::is_trivially_copyable_v<T>, "Tensor: elements must be trivially copyable");

 public:
  Tensor() = default;
  explicit Tensor(const Shape<Rank>& shape) : shape_(shape) {
    for (Index extent : shape) {
      if (extent < 0) throw ArgumentError("Tensor: shape is " + to_string(shape) + ", expected no negative extent");
    }
    bytes_ = detail::aligned_bytes(sizeof(T) * static_cast<std::size_t>(count(shape_)));
    std::uninitialized_fill_n(data(), size(), T(0));
  }

  Tensor clone() const {
    Tensor copy(shape_);
    std::copy_n(data(), size(), copy.data());
    return copy;
  }

  T* data() { return reinterpret_cast<T*>(bytes_.get()); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.get()); }
  const Shape<Rank>& shape() const { return shape_; }
  Index extent(std::size_t r) const { return shape_[r]; }
  Index size() const { return bytes_ ? count(shape_) : 0; }
  void fill(T value) { std::fill_n(data(), size(), value); }

  View<T, Rank> view() { return bytes_ ? View<T, Rank>(data(), shape_) : View<T, Rank>(); }
  View<const T, Rank> view() const { return bytes_ ? View<const T, Rank>(data(), shape_) : View<const T, Rank>(); }
  operator View<T, Rank>() { return view(); }
  operator View<const T, Rank>() const { return view(); }

  template <class... Is>
  T& operator()(Is... is) {
    return view()(is...);
  }
  template <class... Is>
  const T& operator()(Is... is) const {
    return view()(is...);
  }

 private:
  detail::AlignedBytes bytes_;
  Shape<Rank> shape_{};
};

}  // namespace lion
