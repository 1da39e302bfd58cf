#pragma once
/// The product of a linear layer with packed weights.

#include <algorithm>

#include "lion/cpu/dot_block.hpp"
#include "lion/cpu/linear_product.hpp"

namespace lion::cpu {

/// The most rows and outputs that one task takes. The strips of weights come from memory, or the third cache, once for
/// all rows of a task, which stay in the second cache meanwhile: with half as many rows bfloat16 is a tenth slower.
inline constexpr Index kPackedRows = 208;
constexpr Index packed_columns(WeightType type) { return converts_rows(type) ? 768 : 256; }

namespace detail {

#ifdef LION_DOT_BLOCKS

/// Bytes of a row that are converted at once: with all rows of a task 208 KiB of stack.
inline constexpr Index kConvertedBytes = 1024;

/// y [rows ≤ 32, columns ≤ 32] += scales · column_scales · what `multiply(sums, stride, add)` makes, rows [32,32]. int8
/// has scales, and sums of its own.
template <class F>
void add_block(float* y, Index stride, Index rows, Index columns, const float* scales, const float* column_scales,
               std::int32_t* sums, F&& multiply) {
  multiply(sums, kBlockStrip, false);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < columns; ++j) {
      y[i * stride + j] += scales[i] * column_scales[j] * static_cast<float>(sums[i * kBlockStrip + j]);
    }
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
void add_dot_product(Matrix<float>& y, const ConstMatrix<float>& x, const PackedMatrix& w, Index output, F&& multiply) {
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

/// The strip of float weights that begins at an output, entries p … p + depth, in `memory`: [depth, kFloatStrip].
inline void unpack(const PackedMatrix& w, Index output, Index p, Index depth, float* memory) {
  constexpr Index width = kFloatStrip;
  const auto each = [&](auto entry, auto&& value) {
    using E = decltype(entry);
    const E* blocks = w.blocks<E>(output);
    for (Index i = p; i < p + depth; ++i) {
      for (Index o = output; o < output + width; ++o) {
        memory[(i - p) * width + o - output] = value(blocks[PackedMatrix::place<E>(o, i)], o);
      }
    }
  };
  if (w.type() == WeightType::bfloat16) {
    each(std::uint16_t(), [](std::uint16_t bits, Index) {
      return Eigen::numext::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    });
  } else {
    each(std::int8_t(), [&](std::int8_t value, Index o) { return static_cast<float>(value) * w.scales()[o]; });
  }
}

static_assert(kFloatStrip == kStripWidth<float>);

/// By float weights, packed as such or unpacked a few strips at a time.
inline void add_unpacked_product(Matrix<float>& y, const ConstMatrix<float>& x, const PackedMatrix& w, Index output) {
  add_strip_product(y, rows_of<float>(x), x.cols(), [&](Index j, Index p, Index depth, float* memory) -> const float* {
    if (w.type() == WeightType::float32) return w.strip(output + j) + p * kFloatStrip;
    unpack(w, output + j, p, depth, memory);
    return memory;
  });
}

}  // namespace detail

/// y [n,m] += x [n,I] · (m outputs of w from `output` on, a multiple of kBlockStrip)ᵀ, n at most kPackedRows. Rows are
/// rounded to bfloat16 or to int8 where the CPU multiplies these; else only the weights are.
inline void add_packed_product(Matrix<float> y, ConstMatrix<float> x, const PackedMatrix& w, Index output) {
#ifdef LION_DOT_BLOCKS
#ifdef LION_TILE_REGISTERS
  if (w.type() != WeightType::float32 && tile_registers()) {
    const TileScope scope;
    if (w.type() == WeightType::int8) {
      return detail::add_dot_product<Int8Dots>(y, x, w, output, [](auto* a0, auto* a1, auto... of) {
        multiply_tiles<Int8Dots>({a0, a1}, of...);
      });
    }
    return detail::add_dot_product<Bfloat16Dots>(y, x, w, output, [](auto* a0, auto* a1, auto... of) {
      multiply_tiles<Bfloat16Dots>({a0, a1}, of...);
    });
  }
#endif
  if (w.type() == WeightType::bfloat16) {
    return detail::add_dot_product<Bfloat16Dots>(
        y, x, w, output,
        [](const std::uint16_t* a0, const std::uint16_t* a1, const std::uint16_t* b, const std::uint16_t*, auto... of) {
          multiply_blocks(a0, a1, b, of...);
        });
  }
#endif
  detail::add_unpacked_product(y, x, w, output);
}

}  // namespace lion::cpu
