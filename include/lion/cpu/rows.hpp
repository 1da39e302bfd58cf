#pragma once
/// Rows of tokens between the caller's tensors and contiguous tiles of arithmetic type.

#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "lion/core/stretch.hpp"
#include "lion/core/workspace.hpp"
#include "lion/cpu/tile_product.hpp"

namespace lion::cpu {

/// Tokens in a tile: a row tile against a column tile is the unit of work. A multiple of every vector width.
inline constexpr Index kTile = 64;

template <class A>
using Vector = Eigen::Map<Eigen::Array<A, Eigen::Dynamic, 1>>;
template <class A>
using ConstVector = Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>>;

/// The rows [L, width] of one head in a caller's tensor.
template <class T>
struct Rows {
  T* data = nullptr;
  Index stride = 0;
  T* operator()(Index token) const { return data + token * stride; }
};

template <class T, std::size_t Rank>
Rows<T> rows_of(const View<T, Rank>& view, Index b, Index h) {
  // A tensor without elements may have no memory either.
  return view.data() ? Rows<T>{view.at(b, h), view.stride(2)} : Rows<T>{};
}

/// A vector of A from 16-bit storage, in registers: bfloat16 is the upper half of a float, half takes an instruction.
template <class A, class T>
Packed<A> load_converted(const T* from) {
  constexpr Index W = kWidth<A>;
  if constexpr (std::same_as<T, A>) {
    return load(from);
  } else {
    Packed<A> value;
    if constexpr (std::same_as<T, bfloat16> && std::same_as<A, float>) {
      using Bits = Packed<std::uint32_t>;
#if defined(__AVX512F__)  // GCC widens a vector of this size by halves
      const __m256i stored = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      const Bits bits = same_bits<Bits>(_mm512_maskz_cvtepu16_epi32(0xffff, stored));
#else
      typedef std::uint16_t Stored __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));
      const Stored stored = *reinterpret_cast<const Stored*>(from);
      const Bits bits = __builtin_convertvector(stored, Bits);
#endif
      value = same_bits<Packed<A>>(bits << 16);
    } else {
#if defined(__AVX512F__)
      if constexpr (std::same_as<T, half>) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
      }
#elif defined(__F16C__)
      if constexpr (std::same_as<T, half>) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
      }
#endif
      for (Index j = 0; j < W; ++j) value[j] = static_cast<A>(from[j]);
    }
    return value;
  }
}

/// A vector of A rounded to 16-bit storage, to nearest and ties to even.
template <class A, class T>
void store_rounded(T* to, Packed<A> value) {
  constexpr Index W = kWidth<A>;
  if constexpr (std::same_as<T, A>) {
    store(to, value);
  } else if constexpr (std::same_as<T, bfloat16> && std::same_as<A, float>) {
    using Bits = Packed<std::uint32_t>;
    const Bits bits = same_bits<Bits>(value);
    const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const Bits quiet = (bits >> 16) | 0x40;  // NaN must not round to infinity
    const Bits result = value == value ? rounded : quiet;
#if defined(__AVX512F__)
    const __m256i narrow = _mm512_maskz_cvtepi32_epi16(0xffff, same_bits<__m512i>(result));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), narrow);
#else
    typedef std::uint16_t Stored __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));
    *reinterpret_cast<Stored*>(to) = __builtin_convertvector(result, Stored);
#endif
  } else {
#if defined(__AVX512F__)
    if constexpr (std::same_as<T, half>) {
      return _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
    }
#elif defined(__F16C__)
    if constexpr (std::same_as<T, half>) {
      return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
    }
#endif
    for (Index j = 0; j < W; ++j) to[j] = static_cast<T>(value[j]);
  }
}

/// to[i] = factor · from[i], converted.
template <class From, class To>
void copy_row(const From* from, Index width, To factor, To* to) {
  Index i = 0;
  for (; i + kWidth<To> <= width; i += kWidth<To>) store(to + i, factor * load_converted<To>(from + i));
  for (; i < width; ++i) to[i] = factor * static_cast<To>(from[i]);
}

/// A row of a tile: factor · from[i], zero in the padding.
template <class From, class To>
void load_row(const From* from, Index width, To factor, To* to) {
  copy_row(from, width, factor, to);
  for (Index i = width; i < padded<To>(width); ++i) to[i] = 0;
}

/// to[i] = factor · from[i], rounded to To.
template <class From, class To>
void store_row(const From* from, Index width, From factor, To* to) {
  Index i = 0;
  for (; i + kWidth<From> <= width; i += kWidth<From>) store_rounded<From>(to + i, factor * load(from + i));
  for (; i < width; ++i) to[i] = static_cast<To>(factor * from[i]);
}

/// A row of a tile of 16-bit entries [0, padded), zero in the padding: factor · from[i], rounded.
template <class A, class T>
void round_row(const T* from, Index width, A factor, T* to, Index padded) {
  Index i = 0;
  if (factor == A(1)) {
    std::copy_n(from, width, to);
    i = width;
  }
  for (; i + kWidth<A> <= width; i += kWidth<A>) store_rounded<A>(to + i, factor * load_converted<A>(from + i));
  for (; i < width; ++i) to[i] = static_cast<T>(factor * static_cast<A>(from[i]));
  std::fill_n(to + width, padded - width, T(0));
}

/// Σ a[i]·b[i] in a's type, b converted.
template <class A, class B>
A dot_row(const A* a, const B* b, Index width) {
  constexpr Index W = kWidth<A>;
  Packed<A> total{};
  Index i = 0;
  for (; i + W <= width; i += W) total += load(a + i) * load_converted<A>(b + i);
  A rest = sum<A>(total);
  for (; i < width; ++i) rest += a[i] * static_cast<A>(b[i]);
  return rest;
}

/// A tile of `rows` rows of this width, uninitialised.
template <class A>
Tile<A> take_tile(Arena& arena, Index rows, Index width) {
  return {arena.take<A>(rows * padded<A>(width)), padded<A>(width)};
}

namespace detail {
template <Index vectors, class A, class X>
inline void weigh_columns(Tile<const X> from, Index rows, const A* weight, const A* share, Tile<A> to, Fade<A> fade,
                          A* total) {
  constexpr Index W = kWidth<A>;
  Packed<A> sums[vectors] = {};
  for (Index i = 0; i < rows; ++i) {
    const A by = weight ? weight[i] : A(1), part = share ? share[i] : A(1);
    LION_UNROLL_BY(4)
    for (Index j = 0; j < vectors; ++j) {
      const Packed<A> value = by * load_converted<A>(from(i) + j * W);
      if (to.data) store(to(i) + j * W, value);
      sums[j] += part * value;
    }
  }
  if (!total) return;
  LION_UNROLL_BY(4)
  for (Index j = 0; j < vectors; ++j) {
    const Packed<A> before = load(total + j * W);
    store(total + j * W, fade.keep * before + (fade.change * before + sums[j]));
  }
}
}  // namespace detail

/// to_i = weight_i from_i for rows [n, width], padding and all, and total = fade total + Σ_i share_i to_i, in one pass.
/// Whichever of weight and share is absent is 1; whichever of `to` and `total` is absent is not wanted.
template <class A, class X>
void weigh_rows(Tile<X> from, Index rows, Index width, const A* weight, const A* share, Tile<A> to, Fade<A> fade,
                A* total) {
  constexpr Index W = kWidth<A>;
  const auto at = [](auto tile, Index j) { return tile.data ? decltype(tile){tile.data + j, tile.stride} : tile; };
  Index j = 0;
  for (; j + 4 * W <= padded<A>(width); j += 4 * W) {
    detail::weigh_columns<4, A, std::remove_const_t<X>>(at(from, j), rows, weight, share, at(to, j), fade,
                                                        total ? total + j : nullptr);
  }
  for (; j < width; j += W) {
    detail::weigh_columns<1, A, std::remove_const_t<X>>(at(from, j), rows, weight, share, at(to, j), fade,
                                                        total ? total + j : nullptr);
  }
}

/// to_i = weight_i from_i.
template <class A>
void weigh_rows(Tile<const std::type_identity_t<A>> from, Index rows, Index width, const A* weight, Tile<A> to) {
  weigh_rows<A>(from, rows, width, weight, nullptr, to, {}, nullptr);
}

/// take(i, x_i·y_i) for all rows of x; y(i) are rows too. Four at a time: sums across vectors share their shuffles.
template <class A, class X, class Y, class Take>
void dot_rows(Tile<X> x, Y&& y, Index rows, Index width, Take&& take) {
  constexpr Index W = kWidth<A>;
  Index i = 0;
  if constexpr (W >= 4) {
    for (; i + 4 <= rows; i += 4) {
      Packed<A> sums[4] = {};
      for (Index e = 0; e < width; e += W) {
        LION_UNROLL_BY(4)
        for (Index r = 0; r < 4; ++r) sums[r] += load_converted<A>(x(i + r) + e) * load(y(i + r) + e);
      }
      const auto of_rows = detail::sum_fours(sums[0], sums[1], sums[2], sums[3]);
      LION_UNROLL_BY(4)
      for (Index r = 0; r < 4; ++r) take(i + r, of_rows[r]);
    }
  }
  for (; i < rows; ++i) {
    Packed<A> total{};
    for (Index e = 0; e < width; e += W) total += load_converted<A>(x(i) + e) * load(y(i) + e);
    take(i, sum<A>(total));
  }
}

template <class A>
void clear_rows(Tile<A> tile, Index rows) {
  std::fill_n(tile.data, rows * tile.stride, A(0));
}

/// A stretch cut into pieces of at most `most` tokens: the cut depends on the lengths alone.
struct Pieces {
  Stretch whole;
  Index count = 0;
  Index fixed = 0;  ///< size of all but the last, or 0: even

  /// As equal as can be in whole groups of 16 tokens (a vector of the widest kind: columns of products cost by the
  /// vector, and 53 after three times 48 take 13 of them where 4 times 50 take 16). `most` is a multiple of 16.
  static Pieces even(Stretch whole, Index most) { return {whole, (whole.size + most - 1) / most, 0}; }
  /// All of `size` tokens, the last one short.
  static Pieces of(Stretch whole, Index size) {
    size = (std::min)(size, (std::max<Index>)(whole.size, 1));
    return {whole, (whole.size + size - 1) / size, size};
  }

  Stretch operator[](Index i) const {
    if (fixed > 0) {
      const Index first = i * fixed;
      return {whole.first + first, (std::min)(fixed, whole.size - first)};
    }
    constexpr Index kGroup = 16;
    const Index groups = (whole.size + kGroup - 1) / kGroup;
    const Index first = groups * i / count * kGroup, end = groups * (i + 1) / count * kGroup;
    return {whole.first + first, (std::min)(end, whole.size) - first};
  }
};

}  // namespace lion::cpu
