#pragma once
/// A D×(E+1) state that tokens enter and look at: F, G (keys and values) or R, T (queries and upstream gradients).

#include "lion/core/workspace.hpp"
#include "lion/cpu/rows.hpp"
#include "lion/segment.hpp"

namespace lion::cpu {

/// The last column (of the denominators) is kept apart, so that products stay multiples of the vector width.
template <class A>
struct State {
  A* body = nullptr;    // [D, E]
  A* column = nullptr;  // [D]
  Index D = 0, E = 0;
  bool zero = true;  ///< nothing has entered yet: looking at it can be skipped

  State() = default;
  State(Arena& arena, Index key_width, Index value_width)
      : body(arena.take<A>(key_width * value_width)), column(arena.take<A>(key_width)), D(key_width), E(value_width) {}

  /// Starts as the caller's state [D, E+1], or as nothing.
  void start(const View<const A, 4>& from, Index b, Index h) {
    zero = true;
    std::fill_n(body, D * E, A(0));
    std::fill_n(column, D, A(0));
    if (from) add(from, b, h);
  }

  void add(const View<const A, 4>& from, Index b, Index h) {
    zero = false;
    for (Index d = 0; d < D; ++d) {
      add_row(from.at(b, h, d), E, A(1), body + d * E);
      column[d] += from(b, h, d, E);
    }
  }

  void store(const View<A, 4>& to, Index b, Index h) const {
    for (Index d = 0; d < D; ++d) {
      std::copy_n(body + d * E, E, to.at(b, h, d));
      to(b, h, d, E) = column[d];
    }
  }

  /// ⟨this, other⟩ over all D×(E+1) entries; 0 with an absent one.
  double inner(const View<const A, 4>& other, Index b, Index h) const {
    if (!other || zero) return 0;
    double sum = 0;
    for (Index d = 0; d < D; ++d) {
      const A* row = other.at(b, h, d);
      for (Index e = 0; e < E; ++e) sum += static_cast<double>(body[d * E + e]) * static_cast<double>(row[e]);
      sum += static_cast<double>(column[d]) * static_cast<double>(row[E]);
    }
    return sum;
  }

  Matrix<A> matrix() const { return cpu::matrix(body, D, E); }
  Vector<A> last() const { return Vector<A>(column, D); }
};

/// State += Σ_i weight_i x_i y'_iᵀ after decaying by `across`: tokens of a tile enter. x [n,D], y [n,E]; z [n] is y's
/// last entry, or nullptr for 1; weight [n] or nullptr for 1; `scaled` [n,D] is scratch.
template <bool with_column, class A>
void enter(State<A>& state, A across, const A* x, const A* y, const A* z, const A* weight, Index n, A* scaled) {
  const Index D = state.D;
  if (!state.zero && across != A(1)) {
    Vector<A>(state.body, D * state.E) *= across;
    if constexpr (with_column) state.last() *= across;
  }
  state.zero = false;
  if (weight) {
    for (Index i = 0; i < n; ++i) copy_row(x + i * D, D, weight[i], scaled + i * D);
    x = scaled;
  }
  add_product(state.matrix(), matrix(x, n, D).transpose(), matrix(y, n, state.E));
  if constexpr (with_column) {
    for (Index i = 0; i < n; ++i) add_row(x + i * D, D, z ? z[i] : A(1), state.column);
  }
}

}  // namespace lion::cpu
