#pragma once
/// Where the gradients of a head gather: rows of dq, dk, dv, and the scalars per token behind the gradients of a mask.

#include <cmath>

#include "lion/core/workspace.hpp"
#include "lion/cpu/head.hpp"

namespace lion::cpu {

/// Upstream rows of one head and how they become dn' = [dn, dd] (math.md §4).
template <class T>
struct UpstreamRows {
  using A = accumulator_t<T>;
  Rows<const T> dy;            // [L, E]
  Rows<const A> y_wide;        // [L, E], where it was computed again
  Rows<const T> y;             // [L, E], where forward gave it
  const A* row_sum = nullptr;  // δ [L] at row_sum_stride, or none: not normalised
  Index row_sum_stride = 1;
  A share = 1;  // 1/R of R orders

  /// dn → [n, E] and dd → [n].
  template <class Head>
  void load(const Head& head, Stretch s, Tile<A> dn, A* dd) const {
    const Index E = head.E;
    for (Index i = 0; i < s.size; ++i) {
      const Index t = head.token(s.first + i);
      A* row = dn(i);
      dd[i] = 0;
      if (!row_sum) {
        load_row(dy(t), E, share, row);
        continue;
      }
      const A delta = row_sum[t * row_sum_stride];
      if (delta == A(0)) {  // a row that sees nothing passes no gradient
        std::fill_n(row, padded<A>(E), A(0));
      } else {
        load_row(dy(t), E, share / delta, row);
      }
    }
    if (!row_sum) return;
    const auto dot_with = [&](auto rows) {
      const auto row = [&](Index i) { return rows(head.token(s.first + i)); };
      if constexpr (std::same_as<std::remove_const_t<std::remove_pointer_t<decltype(rows.data)>>, A>) {
        if (E % kWidth<A> == 0) {
          return dot_rows<A>(dn, row, s.size, E, [&](Index i, A value) { dd[i] = -value; });
        }
      }
      for (Index i = 0; i < s.size; ++i) dd[i] = -dot_row(dn(i), row(i), E);
    };
    if (y_wide.data) {
      dot_with(y_wide);
    } else {
      dot_with(y);
    }
  }
};

/// Sums of gradients [L, D] or [L, E] in token order, in arithmetic type: the outputs themselves, or scratch.
template <class A>
struct GradientRows {
  Rows<A> dq, dk, dv;
  bool filled_keys = false;    // dq and dk hold sums, of other heads or orders; else what lies there counts for nothing
  bool filled_values = false;  // likewise dv

  /// Zero rows where nothing is yet.
  template <class Head>
  void begin_at_zero(const Head& head) {
    for (Index p = head.sequence.first; p < head.sequence.end(); ++p) {
      const Index t = head.token(p);
      if (!filled_keys) std::fill_n(dq(t), head.D, A(0)), std::fill_n(dk(t), head.D, A(0));
      if (!filled_values) std::fill_n(dv(t), head.E, A(0));
    }
    filled_keys = filled_values = true;
  }
};

/// Behind the gradients of a mask, in double. With one decay per token, e_t and f_t: of the pairs that a pass sees
/// through states, and of the pairs inside chunks (math.md §4: e = q·dq^< − k·dk^<, f = k·dk^> − q·dq^>). With a gate,
/// k·dk̃. With one decay per head nothing: Σ |i−j| A_ij (dn'_i·v'_j) is summed as it comes.
template <mask::DecayKind kind, bool gated>
struct MaskScalars {
  static constexpr bool per_token = kind == mask::DecayKind::per_token;
  double *e = nullptr, *f = nullptr, *inner_e = nullptr, *inner_f = nullptr, *gate = nullptr;

  MaskScalars() = default;
  MaskScalars(Arena& arena, Index L) {
    if constexpr (per_token) {
      e = arena.take<double>(L);
      f = arena.take<double>(L);
      inner_e = arena.take<double>(L);
      inner_f = arena.take<double>(L);
    }
    if constexpr (gated) gate = arena.take<double>(L);
  }

  /// Those from a token on.
  MaskScalars from(Index token) const {
    MaskScalars rest;
    if constexpr (per_token) rest.e = e + token, rest.f = f + token;
    if constexpr (per_token) rest.inner_e = inner_e + token, rest.inner_f = inner_f + token;
    if constexpr (gated) rest.gate = gate + token;
    return rest;
  }

  template <class Head>
  void clear(const Head& head) {
    for (Index p = head.sequence.first; p < head.sequence.end(); ++p) {
      const Index t = head.token(p);
      if constexpr (per_token) e[t] = f[t] = inner_e[t] = inner_f[t] = 0;
      if constexpr (gated) gate[t] = 0;
    }
  }
};

/// ⟨F, R⟩ and ⟨G, T⟩ at the right edge of a sequence.
struct Anchors {
  double e = 0, f = 0;
};

/// dℓ from those scalars, chunk by chunk from the right, each chunk anchored at its right edge (math.md §4):
/// give(token, dℓ). Only what crosses chunks is carried on, so that rounding inside them does not add up along the
/// sequence.
template <mask::DecayKind kind, bool gated, class Head, class Give>
void give_decays(const MaskScalars<kind, gated>& s, Anchors anchors, const Head& head, const Pieces& chunks,
                 Give&& give) {
  for (Index i = chunks.count; i-- > 0;) {
    const Stretch chunk = chunks[i];
    double e = anchors.e, f = anchors.f;
    for (Index p = chunk.end(); p-- > chunk.first;) {
      const Index t = head.token(p);
      f += s.f[t] + s.inner_f[t];
      give(t, e + f);
      e += s.e[t] + s.inner_e[t];
      anchors.e += s.e[t];
      anchors.f += s.f[t];
    }
  }
}

}  // namespace lion::cpu
