#pragma once
/// Scratch memory: a bump arena over bytes that the caller owns and reuses.

#include <cstdint>
#include <string>
#include <utility>

#include "lion/core/tensor.hpp"

namespace lion {

/// `size` rounded up to a multiple of kAlignment, so that what follows is aligned again.
constexpr std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

/// Hands out aligned pieces of a block of bytes. Default-constructed it has no memory and only counts, so that the
/// code that lays scratch out also says how much it takes.
class Arena {
 public:
  Arena() = default;
  explicit Arena(std::byte* data) : data_(data) {}

  /// `n` elements of T at a multiple of 64 bytes, uninitialised; nullptr while counting.
  template <class T>
  T* take(Index n) {
    used_ = aligned(used_);
    const std::size_t begin = used_;
    used_ += sizeof(T) * static_cast<std::size_t>(n);
    return data_ ? reinterpret_cast<T*>(data_ + begin) : nullptr;
  }

  std::size_t used() const { return used_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t used_ = 0;
};

/// The scratch of one call: the caller's bytes, or bytes of its own that `reserve` grows.
class Workspace {
 public:
  Workspace() = default;
  /// Over the caller's memory, of any alignment. Never grows.
  Workspace(void* data, std::size_t size) : data_(static_cast<std::byte*>(data)), size_(size), borrowed_(true) {}

  Workspace(Workspace&& other) noexcept { swap(other); }
  Workspace& operator=(Workspace&& other) noexcept {
    Workspace taken(std::move(other));
    swap(taken);
    return *this;
  }
  void swap(Workspace& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(borrowed_, other.borrowed_);
    std::swap(own_, other.own_);
  }

  std::size_t size() const { return size_; }
  std::byte* data() const { return data_; }
  /// Whether the memory is the caller's.
  bool borrowed() const { return borrowed_; }

  /// Makes room for `size` bytes. Own memory grows (the only place that allocates); borrowed memory that is too
  /// small throws ArgumentError.
  void reserve(std::size_t size) {
    if (size <= size_) return;
    if (borrowed_) {
      throw ArgumentError("workspace: " + std::to_string(size_) + " bytes given, expected at least " +
                          std::to_string(size));
    }
    own_ = detail::aligned_bytes(size);
    data_ = own_.get();
    size_ = size;
  }

  /// An arena over all of it, from the first aligned byte on.
  Arena arena() const {
    const auto address = reinterpret_cast<std::uintptr_t>(data_);
    const std::size_t skip = (kAlignment - address % kAlignment) % kAlignment;
    return size_ <= skip ? Arena() : Arena(data_ + skip);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool borrowed_ = false;
  detail::AlignedBytes own_;
};

}  // namespace lion
