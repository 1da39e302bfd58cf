#pragma once
/// What becomes of complete sums n' = [n, d]: they wait for another pass or order, or become y (math.md §1), or, where
/// backward runs the forward pass again, what it needs of y (§4).

#include "lion/cuda/upstream.hpp"

namespace lion::cuda {

/// Where rows go. `columns` is the width of a waiting row: that of v filled up, and one column for d.
template <class T, class N>
struct Finish {
  using A = accumulator_t<T>;

  Tokens<T> y;
  View<A, 3> row_sum{};  ///< [B,H,L], wanted if present
  Upstream<T> upstream;  ///< if it has weights, they and its slopes are written and y is not
  A* waiting = nullptr;  // [B, H, L, columns]
  Index heads = 0, length = 0;
  int columns = 0;
  bool adds = false;      ///< something of these rows waits already
  bool completes = true;  ///< nothing follows
  A share = 1;            ///< 1/R of R orders
  A epsilon = 0;

  LION_DEVICE A* waiting_row(Index b, Index h, Index t) const {
    return waiting + ((b * heads + h) * length + t) * columns;
  }

  /// The factor that makes n into y, and δ, from d.
  LION_DEVICE A factor(A d, A& delta) const {
    delta = 0;
    if constexpr (!N::divides) return share;
    delta = share * d + epsilon;
    return delta == A(0) ? A(0) : share / delta;
  }
};

}  // namespace lion::cuda
