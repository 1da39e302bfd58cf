#pragma once
/// Products of small blocks of int8 by dot products: AVX512_VNNI's, or AVX_VNNI's of half the width.

#include "lion/cpu/dot_block.hpp"

#ifdef LION_INT8_DOTS

namespace lion::cpu {

/// int8, a row in units of its largest entry over 127.
struct Int8Dots {
  using Entry = std::int8_t;
  using Sum = std::int32_t;

  static float scale(const float* x, Index n) {
    // As integers the bits of |x| have the order of the numbers, with infinity and NaN above them all.
    using Bits = Packed<std::int32_t>;
    constexpr Index W = kWidth<float>;
    constexpr std::int32_t size = 0x7fffffff;
    Bits largest{};
    Index i = 0;
    for (; i + W <= n; i += W) {
      const Bits bits = same_bits<Bits>(load(x + i)) & size;
      largest = bits > largest ? bits : largest;
    }
    std::int32_t most = 0;
    for (Index lane = 0; lane < W; ++lane) most = (std::max)(most, static_cast<std::int32_t>(largest[lane]));
    for (; i < n; ++i) most = (std::max)(most, Eigen::numext::bit_cast<std::int32_t>(x[i]) & size);
    return int8_scale(Eigen::numext::bit_cast<float>(most));
  }

  /// n ≤ 64 entries of a row, then zeros.
  static void convert(const float* x, Index n, float scale, Entry* to) {
    alignas(kAlignment) float padding[64];
    if (n < 64) {
      std::fill_n(std::copy_n(x, n, padding), 64 - n, 0.0f);
      x = padding;
    }
    const float inverse = scale > 0 ? 1 / scale : 0;
    // Packing goes by runs of 128 bits: each holds four entries of every vector in the end.
#ifdef __AVX512F__
    const __m512 factor = _mm512_set1_ps(inverse);
    const auto integers = [&](Index i) { return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), factor)); };
    const __m512i fours = _mm512_packs_epi16(_mm512_packs_epi32(integers(0), integers(16)),
                                             _mm512_packs_epi32(integers(32), integers(48)));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_store_si512(to, _mm512_permutexvar_epi32(order, fours));
#else
    const __m256 factor = _mm256_set1_ps(inverse);
    const auto integers = [&](Index i) { return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor)); };
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (Index i = 0; i < 64; i += 32) {
      const __m256i fours = _mm256_packs_epi16(_mm256_packs_epi32(integers(i), integers(i + 8)),
                                               _mm256_packs_epi32(integers(i + 16), integers(i + 24)));
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + i), _mm256_permutevar8x32_epi32(fours, order));
    }
#endif
  }

#ifdef LION_TILE_REGISTERS
  static void first_rows() {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
  }
  static void second_rows() {
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
#endif
};

/// The same with 128 added to every entry of a row: dot products take those without a sign.
struct RaisedInt8Dots : Int8Dots {
  static void convert(const float* x, Index n, float scale, Entry* to) {
    Int8Dots::convert(x, n, scale, to);
    using Bits = Packed<std::uint32_t>;
    for (Index i = 0; i < 64; i += kVectorBytes) {
      auto* const at = reinterpret_cast<std::uint32_t*>(to + i);
      store(at, static_cast<Bits>(load(at) ^ 0x80808080u));
    }
  }
};

namespace detail {

/// A vector of groups of four int8, and sums of them.
using Fours = Packed<std::int32_t>;

/// sums + a·b, four by four, of a without a sign and b.
inline Fours add_fours(const Fours& sums, const Fours& a, const Fours& b) {
#ifdef __AVX512F__
  return same_bits<Fours>(_mm512_dpbusd_epi32(same_bits<__m512i>(sums), same_bits<__m512i>(a), same_bits<__m512i>(b)));
#else
  return same_bits<Fours>(
      _mm256_dpbusd_avx_epi32(same_bits<__m256i>(sums), same_bits<__m256i>(a), same_bits<__m256i>(b)));
#endif
}

inline Fours load_fours(const std::int8_t* from) { return load(reinterpret_cast<const std::int32_t*>(from)); }

/// Columns of a block whose sums stay in registers, two vectors, and rows: 16 sums of 32 registers or 12 of 16.
inline constexpr Index kFoursColumns = 2 * kWidth<std::int32_t>;
inline constexpr Index kFoursRows = kVectorRegisters >= 32 ? 8 : 6;

/// Where in a block the groups of a column begin.
constexpr Index block_column(Index column) {
  constexpr Index half = PackedMatrix::block_size<std::int8_t>() / 2;
  return column / 16 * half + column % 16 * 4;
}

/// sums [rows, kFoursColumns] = start [kFoursColumns] + a · b over `steps` tiles and blocks, from a column on; asks for
/// the same of `next`.
template <Index rows>
void multiply_fours(const std::int8_t* a, const std::int8_t* b, const std::int8_t* next, Index steps, Index column,
                    const std::int32_t* start, std::int32_t* sums, Index stride) {
  constexpr Index W = kWidth<std::int32_t>, block = PackedMatrix::block_size<std::int8_t>(), depth = 64;
  const Index first = block_column(column), second = block_column(column + W);
  Fours left[rows], right[rows];
  LION_UNROLL_BY(8)
  for (Index i = 0; i < rows; ++i) {
    left[i] = load(start + column);
    right[i] = load(start + column + W);
  }
  for (Index s = 0; s < steps; ++s, a += kTileRows * depth, b += block, next += block) {
    for (Index g = 0; g < depth; g += 4) {
      const Fours one = load_fours(b + g * 16 + first), other = load_fours(b + g * 16 + second);
      __builtin_prefetch(next + g * 16 + first, 0, 2);
      if constexpr (kVectorBytes == 64) __builtin_prefetch(next + g * 16 + second, 0, 2);
      LION_UNROLL_BY(8)
      for (Index i = 0; i < rows; ++i) {
        std::int32_t entries;
        std::memcpy(&entries, a + i * depth + g, sizeof(entries));
        const Fours zero{}, factor = zero + entries;
        left[i] = add_fours(left[i], factor, one);
        right[i] = add_fours(right[i], factor, other);
      }
    }
  }
  LION_UNROLL_BY(8)
  for (Index i = 0; i < rows; ++i) {
    store(sums + i * stride + column, left[i]);
    store(sums + i * stride + column + W, right[i]);
  }
}

}  // namespace detail

/// What the 128 in every entry of a row adds to each column of a·b [kBlockStrip], taken away.
inline void lower_sums(const std::int8_t* b, Index steps, std::int32_t* lowered) {
  using detail::Fours;
  constexpr Index W = kWidth<std::int32_t>, block = PackedMatrix::block_size<std::int8_t>(), chains = 4;
  const Fours zero{}, raised = same_bits<Fours>(same_bits<Packed<std::uint32_t>>(zero) + 0x80808080u);
  for (Index column = 0; column < kBlockStrip; column += W) {
    Fours added[chains] = {};  // one after another they would wait for each other
    for (Index s = 0; s < steps; ++s) {
      const std::int8_t* const from = b + s * block + detail::block_column(column);
      for (Index g = 0; g < 16; g += chains) {
        LION_UNROLL_BY(4)
        for (Index c = 0; c < chains; ++c) {
          added[c] = detail::add_fours(added[c], raised, detail::load_fours(from + (g + c) * 64));
        }
      }
    }
    store(lowered + column, zero - ((added[0] + added[1]) + (added[2] + added[3])));
  }
}

/// sums [32,32], rows `stride` apart, = a · b over `steps` tiles, raised by 128, and blocks, given what lower_sums
/// makes of these; the second tile of rows may be nullptr. `next` is the strip that comes afterwards, or b: it is asked
/// for.
inline void multiply_blocks(const std::int8_t* a0, const std::int8_t* a1, const std::int8_t* b, const std::int8_t* next,
                            Index steps, const std::int32_t* lowered, std::int32_t* sums, Index stride) {
  const auto tile = [&](const std::int8_t* a, const std::int8_t* more, std::int32_t* to) {
    constexpr Index rows = detail::kFoursRows;
    for (Index column = 0; column < kBlockStrip; column += detail::kFoursColumns) {
      const auto part = [&]<Index n>(Index row, const std::int8_t* ahead) {
        detail::multiply_fours<n>(a + row * 64, b, ahead, steps, column, lowered, to + row * stride, stride);
      };
      part.template operator()<rows>(0, more);
      if constexpr (2 * rows == kTileRows) {
        part.template operator()<rows>(rows, b);
      } else {
        part.template operator()<5>(6, b);
        part.template operator()<5>(11, b);
      }
    }
  };
  tile(a0, next, sums);
  if (a1) tile(a1, b, sums + kTileRows * stride);
}

}  // namespace lion::cpu

#endif
