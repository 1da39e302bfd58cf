#pragma once
/// A D×(E+1) state that tokens enter and look at: F, G (keys and values) or R, T (queries and upstream gradients).

#include "lion/core/workspace.hpp"
#include "lion/cpu/rows.hpp"
#include "lion/segment.hpp"

namespace lion::cpu {

/// The last column (of the denominators) is kept apart, so that products stay multiples of the vector width; as one
/// more row where the state lies `by_value`, a row for each value column, as products read it that want its transpose.
template <class A, bool by_value = false>
struct State {
  Tile<A> body;         // [D, E], or [E, D] by value
  A* column = nullptr;  // [D], padded
  Index D = 0, E = 0;
  bool zero = true;  ///< nothing has entered yet: looking at it can be skipped

  State() = default;
  State(Arena& arena, Index key_width, Index value_width) : D(key_width), E(value_width) {
    if constexpr (by_value) {
      body = take_tile<A>(arena, E + 1, D);
      column = body.data ? body(E) : nullptr;
    } else {
      body = take_tile<A>(arena, D, E);
      column = arena.take<A>(padded<A>(D));
    }
  }

  Index rows() const { return by_value ? E : D; }
  A& at(Index d, Index e) const { return by_value ? body(e)[d] : body(d)[e]; }

  /// Starts as the caller's state [D, E+1], or as nothing.
  void start(const View<const A, 4>& from, Index b, Index h) {
    zero = true;
    clear_rows(body, rows());
    std::fill_n(column, padded<A>(D), A(0));
    if (from) add(from, b, h);
  }

  void add(const View<const A, 4>& from, Index b, Index h) {
    zero = false;
    for (Index d = 0; d < D; ++d) {
      const A* row = from.at(b, h, d);
      for (Index e = 0; e < E; ++e) at(d, e) += row[e];
      column[d] += row[E];
    }
  }

  void store(const View<A, 4>& to, Index b, Index h) const {
    for (Index d = 0; d < D; ++d) {
      A* row = to.at(b, h, d);
      for (Index e = 0; e < E; ++e) row[e] = at(d, e);
      row[E] = column[d];
    }
  }

  /// ⟨this, other⟩ over all D×(E+1) entries; 0 with an absent one.
  double inner(const View<const A, 4>& other, Index b, Index h) const {
    if (!other || zero) return 0;
    double sum = 0;
    for (Index d = 0; d < D; ++d) {
      const A* row = other.at(b, h, d);
      for (Index e = 0; e < E; ++e) sum += static_cast<double>(at(d, e)) * static_cast<double>(row[e]);
      sum += static_cast<double>(column[d]) * static_cast<double>(row[E]);
    }
    return sum;
  }

  /// State += factor · other.
  void add(const State& other, A factor) {
    if (other.zero) return;
    zero = false;
    add_row(other.body.data, rows() * body.stride, factor, body.data);
    add_row(other.column, D, factor, column);
  }

  void fade(Fade<A> by) {
    if (zero || by.none()) return;
    fade_and_add(by, A(0), body.data, rows() * body.stride, body.data);
    fade_and_add(by, A(0), column, padded<A>(D), column);
  }
};

/// State += Σ_i weight_i x_i y'_iᵀ after it fades: tokens of a tile enter. x [n, D], y [n, E]; z [n] is
/// y's last entry, or nullptr for 1; weight [n] or nullptr for 1; `scaled` [n, D] is scratch. `Products` makes the
/// products (TileProducts).
template <class Products, bool with_column, class A, bool by_value, class X, class Y>
void enter(State<A, by_value>& state, Fade<A> across, Tile<X> x, Tile<Y> y, const A* z, const A* weight, Index n,
           Tile<A> scaled, Ahead* ahead = nullptr) {
  if (state.zero) across = {};
  state.zero = false;
  constexpr bool scales = !Products::rounds;
  if ((weight && scales) || with_column) {
    weigh_rows(x, n, state.D, weight, z, weight && scales ? scaled : Tile<A>{}, across,
               with_column ? state.column : nullptr);
  }
  const auto multiply = [&](auto keys, const A* by) {
    if constexpr (by_value) {
      Products::add(state.body, state.E, state.D, n, transposed(y), keys, {across}, ahead, by);
    } else {
      Products::add(state.body, state.D, state.E, n, transposed(keys), y, {across}, ahead, by);
    }
  };
  if constexpr (scales) {
    weight ? multiply(Tile<const A>(scaled), nullptr) : multiply(Tile<const A>(x), nullptr);
  } else {
    multiply(x, weight);
  }
}

/// What a state is to the gradient of one decay per head: each of its terms times the number of tokens of the tiles
/// that it has crossed whole; `state` crosses one more, of n tokens, before those enter. With it dℓ = Σ |i−j| A_ij
/// (dn'_i·v'_j) is a sum without cancellation, where the difference of sums over pairs seen from both their ends loses
/// L^1.5 roundings (math.md §4, last line but one). What a pair crosses of its own tiles is known where they look.
template <class A, bool by_value>
void cross(State<A, by_value>& crossed, const State<A, by_value>& state, Fade<A> across, Index n) {
  if (state.zero) return;
  crossed.zero = false;
  const A factor = static_cast<A>(n) * (across.keep + across.change);
  fade_and_add(across, factor, state.body.data, state.rows() * state.body.stride, crossed.body.data);
  fade_and_add(across, factor, state.column, padded<A>(state.D), crossed.column);
}

}  // namespace lion::cpu
