#pragma once
/// The weights of a linear layer in the order in which its product reads them, in float32, bfloat16 or int8.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "lion/core/tensor.hpp"
#include "lion/cpu/vector.hpp"

namespace lion::cpu {

/// int8: each output has a scale of its own, the largest of its weights over 127.
enum class WeightType { float32, bfloat16, int8 };

/// The type of this name. Throws ArgumentError for any other.
inline WeightType parse_weight_type(std::string_view name) {
  if (name == "float32") return WeightType::float32;
  if (name == "bfloat16") return WeightType::bfloat16;
  if (name == "int8") return WeightType::int8;
  throw ArgumentError("weight type is '" + std::string(name) + "', expected float32, bfloat16 or int8");
}

/// Outputs of a strip of float32 weights, and of one in blocks.
inline constexpr Index kFloatStrip = 2 * kWidth<float>, kBlockStrip = 32;

/// Entries of a block along the depth, of E bytes each: 16 times what fills 32 bits, so that a row of a block is a
/// vector of 16 such groups, and a half of a block what a tile register holds.
template <class E>
inline constexpr Index kBlockDepth = 64 / static_cast<Index>(sizeof(E));

/// What int8 stands for, given the largest of the sizes: 0 where its inverse would not be finite, NaN where it is not.
inline float int8_scale(float largest) {
  if (!(largest <= (std::numeric_limits<float>::max)())) return std::numeric_limits<float>::quiet_NaN();
  const float scale = largest / 127;
  return scale >= (std::numeric_limits<float>::min)() ? scale : 0;
}

/// Of w [O,I]. float32: strips [I, kFloatStrip] one after another. Others: strips of blocks along the depth, each
/// [2 halves][16 groups][16 outputs][entries of a group]: what tile registers and dot products of the CPU take. What is
/// beyond O and I is zero.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// w [out,in], dense.
  PackedMatrix(const float* w, Index out, Index in, WeightType type) : type_(type), out_(out), in_(in) {
    if (type == WeightType::float32) {
      pack_strips(w);
    } else if (type == WeightType::bfloat16) {
      pack_blocks<std::uint16_t>(
          w, [](float value, Index) { return Eigen::numext::bit_cast<std::uint16_t>(static_cast<bfloat16>(value)); });
    } else {
      scales_ = Tensor<float, 1>({strips(kBlockStrip) * kBlockStrip});
      for (Index o = 0; o < out; ++o) {
        float largest = 0;
        for (Index i = 0; i < in; ++i) {
          const float size = std::abs(w[o * in + i]);
          if (!(size <= largest) && !std::isnan(largest)) largest = size;  // NaN stays
        }
        scales_(o) = int8_scale(largest);
      }
      pack_blocks<std::int8_t>(w, [&](float value, Index o) {
        return static_cast<std::int8_t>(scales_(o) > 0 ? std::lrint(value / scales_(o)) : 0);
      });
    }
  }

  bool empty() const { return !data_; }
  WeightType type() const { return type_; }
  Index out() const { return out_; }
  Index in() const { return in_; }

  /// float32: the strip that begins at an output, [I, kFloatStrip].
  const float* strip(Index output) const { return reinterpret_cast<const float*>(data_.get()) + output * in_; }

  /// Others: its blocks.
  template <class E>
  const E* blocks(Index output) const {
    return reinterpret_cast<const E*>(data_.get()) + output / kBlockStrip * strip_size<E>();
  }
  template <class E>
  static constexpr Index block_size() {
    return kBlockStrip * kBlockDepth<E>;
  }
  /// Where in its strip the entry i of output o stands.
  template <class E>
  static constexpr Index place(Index o, Index i) {
    constexpr Index depth = kBlockDepth<E>, group = depth / 16, lanes = kBlockStrip / 2;
    const Index column = o % kBlockStrip;
    return i / depth * block_size<E>() + column / lanes * (lanes * depth) + i % depth / group * (lanes * group) +
           column % lanes * group + i % group;
  }
  /// Entries from one strip to the next.
  template <class E>
  Index strip_size() const {
    return (in_ + kBlockDepth<E> - 1) / kBlockDepth<E> * block_size<E>();
  }
  /// int8: of every output, and beyond them 0 up to a whole strip.
  const float* scales() const { return scales_.data(); }

 private:
  Index strips(Index width) const { return (out_ + width - 1) / width; }

  std::byte* allocate(std::size_t bytes) {
    data_ = lion::detail::aligned_bytes(bytes);
    std::fill_n(data_.get(), bytes, std::byte(0));
    return data_.get();
  }

  void pack_strips(const float* w) {
    auto* to = reinterpret_cast<float*>(
        allocate(sizeof(float) * static_cast<std::size_t>(strips(kFloatStrip) * kFloatStrip * in_)));
    for (Index o = 0; o < out_; ++o) {
      float* column = to + o / kFloatStrip * kFloatStrip * in_ + o % kFloatStrip;
      for (Index i = 0; i < in_; ++i) column[i * kFloatStrip] = w[o * in_ + i];
    }
  }

  template <class E, class F>
  void pack_blocks(const float* w, F&& entry) {
    auto* to =
        reinterpret_cast<E*>(allocate(sizeof(E) * static_cast<std::size_t>(strips(kBlockStrip) * strip_size<E>())));
    for (Index o = 0; o < out_; ++o) {
      E* strip = to + o / kBlockStrip * strip_size<E>();
      for (Index i = 0; i < in_; ++i) strip[place<E>(o, i)] = entry(w[o * in_ + i], o);
    }
  }

  WeightType type_ = WeightType::float32;
  Index out_ = 0, in_ = 0;
  lion::detail::AlignedBytes data_;
  Tensor<float, 1> scales_;
};

}  // namespace lion::cpu
