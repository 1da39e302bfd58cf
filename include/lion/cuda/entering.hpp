#pragma once
/// What enters the states: keys with values (F, G; math.md §3), or queries with upstream rows (R, T; §4).

#include "lion/cuda/tile_decay.hpp"
#include "lion/cuda/upstream.hpp"

namespace lion::cuda {

/// State += weight x y'ᵀ, y' = [y, last]: x a gated key, y' = [v, 1]; nothing of padding enters.
template <class T, class M>
struct KeysEnter {
  using Mask = M;
  using Scalar = T;
  using A = accumulator_t<T>;

  /// Whether x_factor may be another than 0 and 1.
  static constexpr bool weighted = M::gated;

  Walk<T, M> walk;

  /// Whether factors may be 0: rows of such tokens are not read, and may hold anything.
  LION_DEVICE bool skips() const { return walk.key_mask != nullptr || weighted; }
  LION_DEVICE const Tokens<const T>& x() const { return walk.k; }
  LION_DEVICE const Tokens<const T>& y() const { return walk.v; }
  LION_DEVICE const T* x_row(Index b, Index h, Index t) const { return walk.k.row(b, h / walk.group, t); }
  LION_DEVICE const T* y_row(Index b, Index h, Index t) const { return walk.v.row(b, h, t); }
  LION_DEVICE A x_factor(Index b, Index h, Index t) const { return walk.padded(b, t) ? A(0) : walk.gate(b, h, t); }
  LION_DEVICE A y_factor(Index b, Index, Index t) const { return A(walk.padded(b, t) ? 0 : 1); }
  LION_DEVICE A last(Index b, Index h, Index t) const { return y_factor(b, h, t); }
  LION_DEVICE A unit(Index, Index) const { return A(1); }

  /// Entering, a key decays by itself.
  template <bool left_to_right>
  LION_DEVICE static A weight(const TileDecay<T, M::decay>& decay, int i) {
    return left_to_right ? decay.to_right(i) : decay.to_left(i);
  }
};

/// The same with x = w q in units of the head, y' = [dy, c].
template <class T, class M>
struct QueriesEnter {
  using Mask = M;
  using Scalar = T;
  using A = accumulator_t<T>;

  Walk<T, M> walk;
  static constexpr bool weighted = true;

  Upstream<T> upstream;

  /// Rows of queries are read whatever their factor: it is applied in the product, where 0 gives 0.
  LION_DEVICE bool skips() const { return false; }
  LION_DEVICE const Tokens<const T>& x() const { return walk.q; }
  LION_DEVICE const Tokens<const T>& y() const { return upstream.dy; }
  LION_DEVICE const T* x_row(Index b, Index h, Index t) const { return walk.q.row(b, h / walk.group, t); }
  LION_DEVICE const T* y_row(Index b, Index h, Index t) const { return upstream.dy.row(b, h, t); }
  LION_DEVICE A x_factor(Index b, Index h, Index t) const { return upstream.in_units(b, h, t); }
  LION_DEVICE A y_factor(Index, Index, Index) const { return A(1); }
  LION_DEVICE A last(Index b, Index h, Index t) const { return upstream.slope(b, h, t); }
  LION_DEVICE A unit(Index b, Index h) const { return upstream.unit(b, h); }

  /// A query does not: the keys on its other side do.
  template <bool left_to_right>
  LION_DEVICE static A weight(const TileDecay<T, M::decay>& decay, int i) {
    return left_to_right ? decay.from_right(i) : decay.from_left(i);
  }
};

}  // namespace lion::cuda
