#pragma once
/// Products of tiles that lie in the cache: nothing is packed and nothing allocated, which is what a general product
/// (cpu/product.hpp, for the large ones of nn) spends a third of its time on at 64×64×64.

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <concepts>
#include <type_traits>

#include "lion/core/config.hpp"
#include "lion/cpu/ahead.hpp"
#include "lion/cpu/vector.hpp"

namespace lion::cpu {

/// A matrix, rows `stride` apart. In scratch rows are padded to a multiple of the vector width; elsewhere they are used
/// only where they are such a multiple.
template <class A>
struct Tile {
  A* data = nullptr;
  Index stride = 0;
  A* operator()(Index row) const { return data + row * stride; }
  /// A template, as nvcc warns of one of Tile<const A> to itself otherwise.
  template <class U>
    requires(std::same_as<U, const A> && !std::is_const_v<A>)
  operator Tile<U>() const {
    return {data, stride};
  }
};

/// The left factor: entry (i, p) is data[i·row + p·column], so a transpose is as good as the matrix.
template <class A>
struct LeftFactor {
  const A* data;
  Index row, column;
};

template <class A>
LeftFactor<std::remove_const_t<A>> plain(Tile<A> tile) {
  return {tile.data, tile.stride, 1};
}
template <class A>
LeftFactor<std::remove_const_t<A>> transposed(Tile<A> tile) {
  return {tile.data, 1, tile.stride};
}

/// Where a product a·b goes: c_i = fade c_i + weight_i (a·b)_i for each row i.
template <class A>
struct Into {
  Fade<A> fade{};
  const A* weight = nullptr;  // [m], or none: 1

  /// c = a·b, whatever c was.
  static Into set(const A* weight = nullptr) { return {{A(0), A(0)}, weight}; }
};

namespace detail {

/// 16 sums of 32 registers, or 12 of 16: enough to hide the latency of a multiply-add, and few loads for each.
inline constexpr Index kBlockRows = kVectorRegisters >= 32 ? 8 : 6;

/// c [rows, vectors·W] = fade c + weight (a [rows, depth] · b [depth, vectors·W]), the sums in registers. Inlined, and
/// everything apart, since what is passed through memory waits there for as long as 30 multiply-adds.
template <Index rows, Index vectors, class A>
LION_ALWAYS_INLINE void add_block(A* c, Index c_stride, const A* a, Index a_row, Index a_column, const A* b,
                                  Index b_stride, Index depth, A keep, A change, const A* weight, Ahead::Lines ahead) {
  constexpr Index W = kWidth<A>;
  Packed<A> sums[rows][vectors] = {};  // not c: it may be a large state, to be rounded once and not `depth` times
  const auto multiply = [&](auto asks) {
    for (Index p = 0; p < depth; ++p) {
      if constexpr (decltype(asks)::value) {
        __builtin_prefetch(ahead.at, 0, 2);
        ahead.at += (p & 3) == 3 ? ahead.jump : ahead.step;
      }
      Packed<A> right[vectors];
      LION_UNROLL_BY(8)
      for (Index j = 0; j < vectors; ++j) right[j] = load(b + p * b_stride + j * W);
      LION_UNROLL_BY(8)
      for (Index i = 0; i < rows; ++i) {
        const A left = a[i * a_row + p * a_column];
        LION_UNROLL_BY(8)
        for (Index j = 0; j < vectors; ++j) sums[i][j] += left * right[j];
      }
    }
  };
  // Only whole blocks ask: there are enough of them.
  if constexpr (rows == kBlockRows && vectors == 2) {
    if (ahead.at) {
      multiply(std::true_type());
    } else {
      multiply(std::false_type());
    }
  } else {
    multiply(std::false_type());
  }
  const auto each = [&](auto&& merge) {
    A* row = c;
    LION_UNROLL_BY(8)
    for (Index i = 0; i < rows; ++i) {
      LION_UNROLL_BY(8)
      for (Index j = 0; j < vectors; ++j) merge(row + j * W, sums[i][j], i);
      row += c_stride;
    }
  };
  if (weight) each([&](const A*, Packed<A>& sum, Index i) { sum *= weight[i]; });
  if (keep == A(0) && change == A(0)) {
    each([](A* to, const Packed<A>& sum, Index) { store(to, sum); });
  } else if (keep == A(1) && change == A(0)) {
    each([](A* to, const Packed<A>& sum, Index) { store(to, load<A>(to) + sum); });
  } else {
    each([&](A* to, const Packed<A>& sum, Index) {
      const Packed<A> before = load<A>(to);
      store(to, keep * before + (change * before + sum));
    });
  }
}

/// All rows of a strip of columns: blocks of `rows`, then one of as many as remain, since two of half the size take as
/// long each.
template <Index rows, Index vectors, class A>
LION_NO_INLINE void add_strip(A* c, Index c_stride, Index m, const A* a, Index a_row, Index a_column, const A* b,
                              Index b_stride, Index depth, A keep, A change, const A* weight, Ahead& ahead) {
  for (; m >= rows; m -= rows) {
    add_block<rows, vectors>(c, c_stride, a, a_row, a_column, b, b_stride, depth, keep, change, weight,
                             ahead.take(depth));
    c += rows * c_stride;
    a += rows * a_row;
    if (weight) weight += rows;
  }
  if constexpr (rows > 1) {
    if (m > 0) {
      add_strip<rows - 1, vectors>(c, c_stride, m, a, a_row, a_column, b, b_stride, depth, keep, change, weight, ahead);
    }
  }
}

}  // namespace detail

/// c [m, n] = fade c + weight (a [m, depth] · b [depth, n]). Columns are computed up to padded(n), which rows of b and
/// c have. The order of every sum is that of the depth, whatever the shapes. Inlined: factors passed through memory, as
/// they would be, wait there until all that has just been written to tiles has left for the cache.
template <class A>
LION_ALWAYS_INLINE void add_tile_product(Tile<A> c, Index m, Index n, Index depth, LeftFactor<A> a,
                                         Tile<const std::type_identity_t<A>> b, Into<std::type_identity_t<A>> into = {},
                                         Ahead* ahead = nullptr) {
  Ahead nothing;
  constexpr Index W = kWidth<A>;
  constexpr Index rows = detail::kBlockRows;
  const Index width = padded<A>(n);
  Index j = 0;
  for (; j + 2 * W <= width; j += 2 * W) {
    detail::add_strip<rows, 2>(c.data + j, c.stride, m, a.data, a.row, a.column, b.data + j, b.stride, depth,
                               into.fade.keep, into.fade.change, into.weight, ahead ? *ahead : nothing);
  }
  if (j < width) {
    detail::add_strip<rows, 1>(c.data + j, c.stride, m, a.data, a.row, a.column, b.data + j, b.stride, depth,
                               into.fade.keep, into.fade.change, into.weight, ahead ? *ahead : nothing);
  }
}

/// c = a · b, whatever c was.
template <class A>
LION_ALWAYS_INLINE void set_tile_product(Tile<A> c, Index m, Index n, Index depth, LeftFactor<A> a,
                                         Tile<const std::type_identity_t<A>> b, Ahead* ahead = nullptr) {
  add_tile_product(c, m, n, depth, a, b, Into<A>::set(), ahead);
}

namespace detail {

/// `parts` runs of 4 entries, `apart` apart, one after another in a vector.
template <Index parts, class A>
inline auto gather_fours(const A* from, Index apart) {
  typedef A Four __attribute__((vector_size(4 * sizeof(A)), aligned(alignof(A)), may_alias));
  typedef A Whole __attribute__((vector_size(4 * parts * sizeof(A))));
#if defined(__AVX512F__)
  if constexpr (parts == 4) {  // straight into their place: GCC would shuffle halves, for which there is one port
    const auto four = [&](Index i) { return _mm_loadu_ps(from + i * apart); };
    __m512 all = _mm512_castps128_ps512(four(0));
    all = _mm512_mask_broadcast_f32x4(all, 0x00f0, four(1));
    all = _mm512_mask_broadcast_f32x4(all, 0x0f00, four(2));
    all = _mm512_mask_broadcast_f32x4(all, 0xf000, four(3));
    return same_bits<Packed<A>>(all);
  } else
#endif
      if constexpr (parts == 1) {
    return static_cast<Whole>(*reinterpret_cast<const Four*>(from));
  } else {
    const auto a = gather_fours<parts / 2>(from, apart), b = gather_fours<parts / 2>(from + parts / 2 * apart, apart);
    if constexpr (parts == 2) {
      return static_cast<Whole>(__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7));
    } else {
      return static_cast<Whole>(__builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    }
  }
}

/// The sum of a vector's runs of 4 entries.
template <class V>
inline auto fold_to_four(V v) {
  if constexpr (sizeof(V) == 16 * sizeof(v[0])) {
    return fold_to_four(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  } else if constexpr (sizeof(V) == 8 * sizeof(v[0])) {
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
  } else {
    return v;
  }
}

/// x and y turn about in each run of 4 entries: their first halves alternate, or their second ones.
template <bool second, class V>
inline V alternate(V x, V y) {
  constexpr Index n = sizeof(V) / sizeof(x[0]);
  if constexpr (n == 4) {
    if constexpr (second) return __builtin_shufflevector(x, y, 2, 6, 3, 7);
    return __builtin_shufflevector(x, y, 0, 4, 1, 5);
  } else if constexpr (n == 8) {
    if constexpr (second) return __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15);
    return __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13);
  } else {
    if constexpr (second) {
      return __builtin_shufflevector(x, y, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    return __builtin_shufflevector(x, y, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  }
}

/// Sums of the entries of four vectors.
template <class V>
inline auto sum_fours(V a, V b, V c, V d) {
  const V ac = alternate<false>(a, c) + alternate<true>(a, c), bd = alternate<false>(b, d) + alternate<true>(b, d);
  return fold_to_four(alternate<false>(ac, bd) + alternate<true>(ac, bd));
}

/// A block [W, 4], transposed in registers: all of W/4 blocks [4, 4] at a time. give(j, column j).
template <class A, class Give>
inline void transpose_block(const A* from, Index from_stride, Give&& give) {
  constexpr Index parts = kWidth<A> / 4;
  const auto row = [&](Index i) { return gather_fours<parts>(from + i * from_stride, 4 * from_stride); };
  const Packed<A> a = row(0), b = row(1), c = row(2), d = row(3);
  const Packed<A> ac = alternate<false>(a, c), bd = alternate<false>(b, d);
  const Packed<A> ac_later = alternate<true>(a, c), bd_later = alternate<true>(b, d);
  give(0, alternate<false>(ac, bd));
  give(1, alternate<true>(ac, bd));
  give(2, alternate<false>(ac_later, bd_later));
  give(3, alternate<true>(ac_later, bd_later));
}

}  // namespace detail

/// to [cols, rows] = factor · fromᵀ of from [rows, cols]; rows of `to` are zero from `rows` up to padded(rows).
template <class A>
void transpose_tile(Tile<const std::type_identity_t<A>> from, Index rows, Index cols, A factor, Tile<A> to) {
  constexpr Index W = kWidth<A>;
  constexpr bool blocks = W >= 4;
  const Index whole_rows = blocks ? rows / W * W : 0, whole_cols = blocks ? cols / 4 * 4 : 0;
  for (Index i = 0; i < whole_rows; i += W) {
    for (Index j = 0; j < whole_cols; j += 4) {
      if constexpr (blocks) {
        detail::transpose_block(from(i) + j, from.stride,
                                [&](Index c, const Packed<A>& column) { store(to(j + c) + i, factor * column); });
      }
    }
  }
  if (whole_rows == rows && whole_cols == cols) return;
  for (Index j = 0; j < cols; ++j) {
    A* out = to(j);
    for (Index i = j < whole_cols ? whole_rows : 0; i < rows; ++i) out[i] = factor * from(i)[j];
    std::fill_n(out + rows, padded<A>(rows) - rows, A(0));
  }
}

}  // namespace lion::cpu
