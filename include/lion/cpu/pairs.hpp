#pragma once
/// The full form: every pair of tokens of a stretch, a row tile against a column tile at a time (math.md §1). The
/// chunk form calls it for the pairs inside its chunks.

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

/// Weights that make a rank-one M of a row tile and a column tile (row[i]·column[j]) apart from each other.
template <class A, class Decay>
struct OuterMask {
  const A* row;
  const A* column;
  A between;

  OuterMask(bool past, const Decay& rows, const Decay& columns, double log_between)
      : row(past ? rows.left().from : rows.right().from),
        column(past ? columns.right().to : columns.left().to),
        between(static_cast<A>(std::exp(log_between))) {}
};

/// x ⊙= M for the tile on the diagonal [n, n]: its own mask, and the triangle the direction leaves.
template <class Direction, class A, class Decay>
void mask_diagonal(Decay& decay, Index n, Tile<A> x) {
  const Tile<A> m = decay.tile();
  for (Index i = 0; i < n; ++i) {
    A* row = x(i);
    if constexpr (Decay::present) multiply_row(m(i), n, A(1), row);
    if constexpr (!Direction::past) std::fill_n(row, i, A(0));
    if constexpr (!Direction::future) std::fill_n(row + i + 1, n - i - 1, A(0));
  }
}

/// x ⊙= M for a tile off the diagonal [n, m].
template <class A, class Decay>
void mask_outer(const OuterMask<A, Decay>& mask, Index n, Index m, Tile<A> x) {
  if constexpr (Decay::present) {
    for (Index i = 0; i < n; ++i) multiply_row(mask.column, m, mask.row[i] * mask.between, x(i));
  }
}

}  // namespace lion::cpu
