#pragma once
/// The full form: every pair of tokens of a stretch, a row tile against a column tile at a time (math.md §1). The
/// chunk form calls it for the pairs inside its chunks.

#include <type_traits>

#include "lion/cpu/tile_decay.hpp"

namespace lion::cpu {

/// Calls f(column_tile, between) for the column tiles that the row tile sees, nearest first on each side;
/// `between` is the log of the decay across the tiles strictly between them. Stops where nothing can be seen any more.
template <class Direction, class A, class Decay, class Head, class F>
void for_each_column(const Head& head, const Pieces& tiles, Index row_tile, Decay& column, F&& f) {
  f(row_tile, 0.0);
  const auto walk = [&](Index step, Index stop) {
    double between = 0;
    for (Index column_tile = row_tile + step; column_tile != stop && between > mask::kHorizon<A>; column_tile += step) {
      column.derive(head, tiles[column_tile]);
      f(column_tile, between);
      between += column.total();
    }
  };
  if constexpr (Direction::past) walk(-1, -1);
  if constexpr (Direction::future) walk(+1, tiles.count);
}

/// The numbers of the lanes of a vector, from `first` on.
template <class A>
Packed<A> lanes(Index first) {
  static constexpr A kNumbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static_assert(kWidth<A> <= 16);
  return load(kNumbers) + static_cast<A>(first);
}

/// What multiplies key j and queries i, i+1, … of a tile on the diagonal: factor · M, and the triangle of the
/// direction.
template <class Direction, class A, class Decay>
struct DiagonalMask {
  static constexpr bool changes = Decay::present || !Direction::past || !Direction::future;
  Tile<A> m;  // Mᵀ
  A factor;

  DiagonalMask(Decay& decay, A by) : m(decay.tile()), factor(by) {}

  Packed<A> operator()(Index j, Index i) const {
    Packed<A> value = filled(factor);
    if constexpr (Decay::present) value *= load(m(j) + i);
    if constexpr (!Direction::past) value = lanes<A>(i) > static_cast<A>(j) ? filled(A(0)) : value;
    if constexpr (!Direction::future) value = lanes<A>(i) < static_cast<A>(j) ? filled(A(0)) : value;
    return value;
  }
};

/// The same off the diagonal, where M is of rank one: row[i]·column[j].
template <class A, class Decay>
struct OuterMask {
  static constexpr bool changes = Decay::present;
  const A *row, *column;
  A factor;

  OuterMask(bool past, const Decay& rows, const Decay& columns, double log_between, A by)
      : row(past ? rows.left().from : rows.right().from),
        column(past ? columns.right().to : columns.left().to),
        factor(by * static_cast<A>(std::exp(log_between))) {}

  Packed<A> operator()(Index j, Index i) const {
    if constexpr (!Decay::present) return filled(factor);
    return factor * column[j] * load(row + i);
  }
};

namespace detail {
/// body(first, vectors) for the columns [0, n) of a tile, `vectors` vectors at a time: a constant that unrolls.
template <class A, class Body>
LION_ALWAYS_INLINE void for_each_columns(Index n, Body&& body) {
  constexpr Index W = kWidth<A>;
  Index i = 0;
  for (; i + 4 * W <= padded<A>(n); i += 4 * W) body(i, std::integral_constant<Index, 4>());
  for (; i < n; i += W) body(i, std::integral_constant<Index, 1>());
}
}  // namespace detail

/// x ⊙= mask, x [m, n] having a row for each key; sums [padded n] = Σ_j x_j for each query, if wanted. The mask is a
/// copy, which stays in registers: one that lies elsewhere is read again after each store.
template <class A, class Mask>
void mask_scores(const Mask mask, Index n, Index m, Tile<A> x, A* sums) {
  if (!Mask::changes && !sums) return;
  constexpr Index W = kWidth<A>;
  detail::for_each_columns<A>(n, [&](Index first, auto vectors) {
    constexpr Index count = decltype(vectors)::value;
    Packed<A> totals[count] = {};
    for (Index j = 0; j < m; ++j) {
      LION_UNROLL_BY(4)
      for (Index c = 0; c < count; ++c) {
        const Index i = first + c * W;
        Packed<A> value = load(x(j) + i);
        if constexpr (Mask::changes) {
          value *= mask(j, i);
          store(x(j) + i, value);
        }
        totals[c] += value;
      }
    }
    if (!sums) return;
    LION_UNROLL_BY(4)
    for (Index c = 0; c < count; ++c) store(sums + first + c * W, totals[c]);
  });
}

}  // namespace lion::cpu
