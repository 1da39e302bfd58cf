#pragma once
/// Products of tiles that lie in the cache: nothing is packed and nothing allocated, which is what a general product
/// (cpu/product.hpp, for the large ones of nn) spends a third of its time on at 64×64×64.

#include <algorithm>

#include "lion/core/config.hpp"
#include "lion/cpu/vector.hpp"

namespace lion::cpu {

/// A matrix in scratch: rows `stride` apart, each padded to a multiple of the vector width.
template <class A>
struct Tile {
  A* data = nullptr;
  Index stride = 0;
  A* operator()(Index row) const { return data + row * stride; }
};

/// The left factor: entry (i, p) is data[i·row + p·column], so a transpose is as good as the matrix.
template <class A>
struct LeftFactor {
  const A* data;
  Index row, column;
};

template <class A>
LeftFactor<A> plain(Tile<A> tile) {
  return {tile.data, tile.stride, 1};
}
template <class A>
LeftFactor<A> transposed(Tile<A> tile) {
  return {tile.data, 1, tile.stride};
}

namespace detail {

/// c [rows, vectors·W] = fade c + a [rows, depth] · b [depth, vectors·W], the sums in registers.
template <Index rows, Index vectors, class A>
inline void add_block(A* c, Index c_stride, LeftFactor<A> a, const A* b, Index b_stride, Index depth, Fade<A> fade) {
  constexpr Index W = kWidth<A>;
  Packed<A> sums[rows][vectors] = {};  // not c: it may be a large state, to be rounded once and not `depth` times
  for (Index p = 0; p < depth; ++p) {
    Packed<A> right[vectors];
    LION_UNROLL_BY(8)
    for (Index j = 0; j < vectors; ++j) right[j] = load(b + p * b_stride + j * W);
    LION_UNROLL_BY(8)
    for (Index i = 0; i < rows; ++i) {
      const A left = a.data[i * a.row + p * a.column];
      LION_UNROLL_BY(8)
      for (Index j = 0; j < vectors; ++j) sums[i][j] += left * right[j];
    }
  }
  LION_UNROLL_BY(8)
  for (Index i = 0; i < rows; ++i) {
    LION_UNROLL_BY(8)
    for (Index j = 0; j < vectors; ++j) {
      A* to = c + i * c_stride + j * W;
      if (fade.all()) {
        store(to, sums[i][j]);
      } else {
        const Packed<A> before = load(to);
        store(to, fade.keep * before + (fade.change * before + sums[i][j]));
      }
    }
  }
}

/// add_block of as many rows as are left, fewer than `rows`: one block, since two of half the size take as long each.
template <Index rows, Index vectors, class A>
void add_rest(A* c, Index c_stride, Index left, LeftFactor<A> a, const A* b, Index b_stride, Index depth,
              Fade<A> fade) {
  if constexpr (rows > 1) {
    if (left < rows - 1) return add_rest<rows - 1, vectors>(c, c_stride, left, a, b, b_stride, depth, fade);
    add_block<rows - 1, vectors>(c, c_stride, a, b, b_stride, depth, fade);
  }
}

/// All rows of a strip of columns: blocks of `rows`, then what remains.
template <Index rows, Index vectors, class A>
void add_strip(A* c, Index c_stride, Index m, LeftFactor<A> a, const A* b, Index b_stride, Index depth, Fade<A> fade) {
  Index i = 0;
  for (; i + rows <= m; i += rows) {
    add_block<rows, vectors>(c + i * c_stride, c_stride, {a.data + i * a.row, a.row, a.column}, b, b_stride, depth,
                             fade);
  }
  if (i < m) {
    add_rest<rows, vectors>(c + i * c_stride, c_stride, m - i, {a.data + i * a.row, a.row, a.column}, b, b_stride,
                            depth, fade);
  }
}

}  // namespace detail

/// c [m, n] = fade c + a [m, depth] · b [depth, n]. Columns are computed up to padded(n), which rows of b and c have.
/// The order of every sum is that of the depth, whatever the shapes.
template <class A>
void add_tile_product(Tile<A> c, Index m, Index n, Index depth, LeftFactor<A> a, Tile<A> b, Fade<A> fade = {}) {
  constexpr Index W = kWidth<A>;
  // 16 sums of 32 registers, or 12 of 16: enough to hide the latency of a multiply-add, and few loads for each.
  constexpr Index rows = kVectorRegisters >= 32 ? 8 : 6;
  const Index width = padded<A>(n);
  Index j = 0;
  for (; j + 2 * W <= width; j += 2 * W) {
    detail::add_strip<rows, 2>(c.data + j, c.stride, m, a, b.data + j, b.stride, depth, fade);
  }
  if (j < width) detail::add_strip<rows, 1>(c.data + j, c.stride, m, a, b.data + j, b.stride, depth, fade);
}

/// c = a · b, whatever c was.
template <class A>
void set_tile_product(Tile<A> c, Index m, Index n, Index depth, LeftFactor<A> a, Tile<A> b) {
  add_tile_product(c, m, n, depth, a, b, Fade<A>{A(0), A(0)});
}

namespace detail {

/// A 4×4 block, transposed in registers.
template <class A>
inline void transpose_block(const A* from, Index from_stride, A* to, Index to_stride) {
  typedef A Four __attribute__((vector_size(4 * sizeof(A)), aligned(alignof(A)), may_alias));
  const Four *row_a = reinterpret_cast<const Four*>(from), *row_b = reinterpret_cast<const Four*>(from + from_stride);
  const Four* row_c = reinterpret_cast<const Four*>(from + 2 * from_stride);
  const Four* row_d = reinterpret_cast<const Four*>(from + 3 * from_stride);
  const Four a = *row_a, b = *row_b, c = *row_c, d = *row_d;
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const auto out = [&](Index i) -> Four& { return *reinterpret_cast<Four*>(to + i * to_stride); };
  out(0) = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  out(1) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  out(2) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  out(3) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

}  // namespace detail

/// to [cols, rows] = fromᵀ of from [rows, cols]; rows of `to` are zero from `rows` up to padded(rows).
template <class A>
void transpose_tile(Tile<A> from, Index rows, Index cols, Tile<A> to) {
  constexpr bool blocks = 4 * static_cast<Index>(sizeof(A)) <= kVectorBytes;
  const Index whole_rows = blocks ? rows / 4 * 4 : 0, whole_cols = blocks ? cols / 4 * 4 : 0;
  for (Index j = 0; j < whole_cols; j += 4) {
    for (Index i = 0; i < whole_rows; i += 4) {
      if constexpr (blocks) detail::transpose_block(from(i) + j, from.stride, to(j) + i, to.stride);
    }
  }
  for (Index j = 0; j < cols; ++j) {
    A* out = to(j);
    for (Index i = j < whole_cols ? whole_rows : 0; i < rows; ++i) out[i] = from(i)[j];
    std::fill_n(out + rows, padded<A>(rows) - rows, A(0));
  }
}

}  // namespace lion::cpu
