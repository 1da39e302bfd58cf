#pragma once
/// Walks over a grid of patches, whose tokens lie row by row (math.md §1, ♮).

#include "lion/order/permutation.hpp"

namespace lion::order {

/// Row 0 left to right, row 1 right to left, …: the token at place i of the walk over rows × cols.
constexpr Index s_curve_token(Index place, Index /*rows*/, Index cols) {
  const Index y = place / cols, x = place % cols;
  return y * cols + (y % 2 == 0 ? x : cols - 1 - x);
}

/// The same walk down the columns.
constexpr Index s_curve_transposed_token(Index place, Index rows, Index cols) {
  const Index x = place / rows, y = place % rows;
  return (x % 2 == 0 ? y : rows - 1 - y) * cols + x;
}

namespace detail {
template <class Token>
Permutation walk(const char* operation, Index rows, Index cols, Token token) {
  if (rows < 0 || cols < 0) {
    throw ArgumentError(std::string(operation) + ": grid has shape [" + std::to_string(rows) + "," +
                        std::to_string(cols) + "], expected no negative extent");
  }
  std::vector<Index> order(static_cast<std::size_t>(rows * cols));
  for (Index place = 0; place < rows * cols; ++place) order[static_cast<std::size_t>(place)] = token(place);
  return Permutation(std::move(order));
}
}  // namespace detail

/// As the tokens lie.
inline Permutation row_major(Index rows, Index cols) {
  return detail::walk("row_major", rows, cols, [](Index place) { return place; });
}

/// Row-wise S-curve (boustrophedon): neighbours on the walk are neighbours on the grid.
inline Permutation s_curve(Index rows, Index cols) {
  return detail::walk("s_curve", rows, cols, [=](Index place) { return s_curve_token(place, rows, cols); });
}
inline Permutation s_curve(Index side) { return s_curve(side, side); }

/// The same walk down the columns.
inline Permutation s_curve_transposed(Index rows, Index cols) {
  return detail::walk("s_curve_transposed", rows, cols,
                      [=](Index place) { return s_curve_transposed_token(place, rows, cols); });
}
inline Permutation s_curve_transposed(Index side) { return s_curve_transposed(side, side); }

}  // namespace lion::order
