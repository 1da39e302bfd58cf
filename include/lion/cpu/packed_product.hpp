#pragma once
/// The product of a linear layer with packed weights.

#include <algorithm>
#include <cstdint>
#include <limits>

#include "lion/cpu/int8_dots.hpp"
#include "lion/cpu/linear_product.hpp"

namespace lion::cpu {

/// The most rows and outputs that one task takes. The strips of weights come from memory, or the third cache, once for
/// all rows of a task, which stay in the second cache meanwhile: with half as many rows bfloat16 is a tenth slower.
/// Rows that are converted stay there beside some outputs; others are read where they are, and the wider the better.
inline constexpr Index kPackedRows = 208;
inline Index packed_columns(WeightType type) { return converts_rows(type) ? 768 : 3072; }

namespace detail {

#ifdef LION_DOT_BLOCKS

/// Bytes of a row that are converted at once: with all rows of a task 208 KiB of stack.
inline constexpr Index kConvertedBytes = 1024;
static_assert(255 * 127 * kConvertedBytes < (std::numeric_limits<std::int32_t>::max)());  // sums of int8

/// y [rows ≤ 32, columns ≤ 32] += scales · column_scales · what `multiply(sums, stride, add)` makes, rows [32,32]. int8
/// has scales, and sums of its own.
template <class F>
void add_block(float* y, Index stride, Index rows, Index columns, const float* scales, const float* column_scales,
               std::int32_t* sums, F&& multiply) {
  multiply(sums, kBlockStrip, false);
  constexpr Index W = kWidth<float>;
  for (Index i = 0; i < rows; ++i) {
    float* const to = y + i * stride;
    const std::int32_t* const from = sums + i * kBlockStrip;
    Index j = 0;
    for (; j + W <= columns; j += W) {
      const Packed<std::int32_t> whole = load(from + j);
      const Packed<float> scale = scales[i] * load(column_scales + j);
      store(to + j, load(to + j) + scale * __builtin_convertvector(whole, Packed<float>));
    }
    for (; j < columns; ++j) to[j] += scales[i] * column_scales[j] * static_cast<float>(from[j]);
  }
}

/// bfloat16 has none: a whole block of y takes the products as they come, and what is less does so in `sums`, with the
/// same result.
template <class F>
void add_block(float* y, Index stride, Index rows, Index columns, const float*, const float*, float* sums,
               F&& multiply) {
  if (columns == kBlockStrip && rows % kTileRows == 0) return multiply(y, stride, true);
  for (Index i = 0; i < rows; ++i) std::copy_n(y + i * stride, columns, sums + i * kBlockStrip);
  multiply(sums, kBlockStrip, true);
  for (Index i = 0; i < rows; ++i) std::copy_n(sums + i * kBlockStrip, columns, y + i * stride);
}

/// By dot products: the rows are converted, some of the depth at a time, into tiles; every strip of weights meets all
/// of them while it is in the first cache. `multiply(a0, a1, b, next, steps, sums, stride, add)` as multiply_tiles.
template <class Kind, class F>
void dot_product(Matrix<float>& y, Base<float> base, const ConstMatrix<float>& x, const PackedMatrix& w, Index output,
                 F&& multiply) {
  base.fill(y);
  using Entry = typename Kind::Entry;
  constexpr Index block = kBlockDepth<Entry>, most = kPackedRows;
  constexpr Index tile = kTileRows * block, block_size = PackedMatrix::block_size<Entry>();
  alignas(kAlignment) Entry rows[most * kConvertedBytes / sizeof(Entry)];
  alignas(kAlignment) typename Kind::Sum sums[2 * kTileRows * kBlockStrip] = {};
  float scales[most];
  const Index n = y.rows(), in = x.cols(), tiles = (n + kTileRows - 1) / kTileRows;
  for (Index i = 0; i < n; ++i) scales[i] = Kind::scale(x.data() + i * x.outerStride(), in);
  // The depth in equal parts, so that the last is not a short one.
  const Index blocks = (in + block - 1) / block, at_most = kConvertedBytes / 64;
  const Index parts = (blocks + at_most - 1) / at_most, part = parts ? (blocks + parts - 1) / parts : 0;
  for (Index p = 0; p < blocks; p += part) {
    const Index steps = (std::min)(part, blocks - p);
    for (Index i = 0; i < tiles * kTileRows; ++i) {
      Entry* to = rows + i / kTileRows * steps * tile + i % kTileRows * block;
      for (Index s = 0; s < steps; ++s, to += tile) {
        if (i < n) {
          const Index from = (p + s) * block;
          Kind::convert(x.data() + i * x.outerStride() + from, (std::min)(block, in - from), scales[i], to);
        } else {
          std::fill_n(to, block, Entry(0));
        }
      }
    }
    for (Index j = 0; j < y.cols(); j += kBlockStrip) {
      const Entry* b = w.blocks<Entry>(output + j) + p * block_size;
      const Entry* next = j + kBlockStrip < y.cols() ? b + w.strip_size<Entry>() : b;
      const Index columns = (std::min)(kBlockStrip, y.cols() - j);
      for (Index t = 0; t < tiles; t += 2) {
        const Entry* a = rows + t * steps * tile;
        const Entry* more = t + 1 < tiles ? a + steps * tile : nullptr;
        const Index i = t * kTileRows;
        add_block(&y(i, j), y.outerStride(), (std::min)(2 * kTileRows, n - i), columns, scales + i,
                  w.scales() ? w.scales() + output + j : nullptr, sums, [&](auto* to, Index stride, bool add) {
                    multiply(a, more, b, t == 0 ? next : b, steps, to, stride, add);
                  });
      }
    }
  }
}

#endif

/// The floats that the groups of entries [W outputs] in `bits` stand for, one entry of each group: `scales` times an
/// int8, and a bfloat16 is the upper half of a float.
template <class E>
Packed<float> entry_of_groups(const Packed<std::int32_t>& bits, int entry, const Packed<float>& scales) {
  using Bits = Packed<std::int32_t>;
  constexpr int width = 8 * sizeof(E);
  const Bits upper = bits << (32 - width - entry * width);
  if constexpr (sizeof(E) == 2) {
    return same_bits<Packed<float>>(upper & -65536);
  } else {
    return scales * __builtin_convertvector(upper >> 24, Packed<float>);
  }
}

/// The strip of float weights that begins at an output, entries p … p + depth, in `memory`: [depth, kFloatStrip].
template <class E>
void unpack(const PackedMatrix& w, Index output, Index p, Index depth, float* memory) {
  constexpr Index W = kWidth<float>, group = kBlockDepth<E> / 16;
  const E* const blocks = w.blocks<E>(output);
  for (Index o = output; o < output + kFloatStrip; o += W) {
    const Packed<float> scales = w.scales() ? load(w.scales() + o) : filled(0.0f);
    float* const to = memory + o - output;
    for (Index i = 0; i < depth; i += group) {
      const auto bits = load(reinterpret_cast<const std::int32_t*>(blocks + PackedMatrix::place<E>(o, p + i)));
      for (Index e = 0; e < group && i + e < depth; ++e) {
        store(to + (i + e) * kFloatStrip, entry_of_groups<E>(bits, static_cast<int>(e), scales));
      }
    }
  }
}

static_assert(kFloatStrip == kStripWidth<float> && kBlockStrip / 2 % kWidth<float> == 0 &&
              kStripDepth % kBlockDepth<std::int8_t> == 0);

/// By float weights, packed as such or unpacked a few strips at a time.
inline void unpacked_product(Matrix<float>& y, Base<float> base, const ConstMatrix<float>& x, const PackedMatrix& w,
                             Index output) {
  const auto strip = [&](Index j, Index p, Index depth, float* memory) -> const float* {
    if (w.type() == WeightType::float32) return w.strip(output + j) + p * kFloatStrip;
    w.type() == WeightType::int8 ? unpack<std::int8_t>(w, output + j, p, depth, memory)
                                 : unpack<std::uint16_t>(w, output + j, p, depth, memory);
    return memory;
  };
  strip_product(y, base, rows_of<float>(x), x.cols(), strip, [&](Index j, Index p, Index depth) {
    const Index first = output + j, strips = (std::min<Index>)(kStrips, (w.out() - first) / kFloatStrip);
    if (strips <= 0) return LinesAhead();
    if (w.type() == WeightType::float32) {
      return lines_of(w.strip(first) + p * kFloatStrip, strips, depth * kFloatStrip, w.in() * kFloatStrip);
    }
    const Index blocks = (strips * kFloatStrip + kBlockStrip - 1) / kBlockStrip;
    const auto lines = [&](const auto* from, Index apart) {
      return lines_of(from + p * kBlockStrip, blocks, depth * kBlockStrip, apart);
    };
    return w.type() == WeightType::int8 ? lines(w.blocks<std::int8_t>(first), w.strip_size<std::int8_t>())
                                        : lines(w.blocks<std::uint16_t>(first), w.strip_size<std::uint16_t>());
  });
}

}  // namespace detail

/// y [n,m] = base + x [n,I] · (m outputs of w from `output` on, a multiple of kBlockStrip)ᵀ, n at most kPackedRows.
/// Rows are rounded to bfloat16 or to int8 where converts_rows says so; else only the weights are.
inline void packed_product(Matrix<float> y, Base<float> base, ConstMatrix<float> x, const PackedMatrix& w,
                           Index output) {
#ifdef LION_TILE_REGISTERS
  if (w.type() != WeightType::float32 && tile_registers()) {
    const TileScope scope;
    if (w.type() == WeightType::int8) {
      return detail::dot_product<Int8Dots>(y, base, x, w, output, [](auto* a0, auto* a1, auto... of) {
        multiply_tiles<Int8Dots>({a0, a1}, of...);
      });
    }
    return detail::dot_product<Bfloat16Dots>(y, base, x, w, output, [](auto* a0, auto* a1, auto... of) {
      multiply_tiles<Bfloat16Dots>({a0, a1}, of...);
    });
  }
#endif
#ifdef LION_INT8_DOTS
  if (w.type() == WeightType::int8) {
    alignas(kAlignment) std::int32_t lowered[kBlockStrip];
    const std::int8_t* of = nullptr;  // the strip that they belong to
    return detail::dot_product<RaisedInt8Dots>(
        y, base, x, w, output,
        [&](auto* a0, auto* a1, auto* b, auto* next, Index steps, std::int32_t* sums, Index stride, bool) {
          if (b != of) lower_sums(b, steps, lowered);
          of = b;
          multiply_blocks(a0, a1, b, next, steps, lowered, sums, stride);
        });
  }
#endif
#ifdef LION_BFLOAT16_DOTS
  if (w.type() == WeightType::bfloat16) {
    return detail::dot_product<Bfloat16Dots>(y, base, x, w, output, [](auto... of) { multiply_blocks(of...); });
  }
#endif
  detail::unpacked_product(y, base, x, w, output);
}

}  // namespace lion::cpu
