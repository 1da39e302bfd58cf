#pragma once
/// One head of one sequence along one order: how its rows and its mask's scalars are fetched.

#include "lion/attention.hpp"
#include "lion/cpu/rows.hpp"
#include "lion/mask/tile_decay.hpp"

namespace lion::cpu {

/// What the forms read. Positions p are places of the walk, tokens t are places of the tensors.
template <class T, class M>
struct Head {
  using A = accumulator_t<T>;

  const typename M::template Parameters<A>* mask = nullptr;
  const Index* order = nullptr;  // [L], or none: as the tokens lie
  Rows<const T> q, k, v;
  const bool* key_mask = nullptr;  // [L] at key_mask_stride
  Index key_mask_stride = 0;
  Index b = 0, h = 0;
  Index D = 0, E = 0;
  A scale = 1;
  Stretch sequence;  // its positions

  Index token(Index p) const { return order ? order[p] : p; }
  bool padded(Index t) const { return key_mask && !key_mask[t * key_mask_stride]; }

  /// The factor on a key: its gate, 0 for padding.
  A key_factor(Index t) const {
    if (padded(t)) return 0;
    if constexpr (M::gated) return mask->gate(b, h, t);
    return 1;
  }

  double log_decay(Index t) const {
    if constexpr (M::decay == mask::DecayKind::per_head) return static_cast<double>(mask->log_decay(h));
    if constexpr (M::decay == mask::DecayKind::per_token) return static_cast<double>(mask->log_decay(b, h, t));
    return 0;
  }

  /// q [n, D], k̃ = γ·k [n, D] and v [n, E], rows of padded keys 0, whatever lies there: where they lie if products can
  /// read them there, or else copied to `to`. X is A, or T where products take it (TileProducts).
  template <class X>
  Tile<const X> load_q(Stretch s, Tile<X> to) const {
    return load(q, s, D, to, false, false);
  }
  template <class X>
  Tile<const X> load_k(Stretch s, Tile<X> to) const {
    return load(k, s, D, to, true, M::gated);
  }
  template <class X>
  Tile<const X> load_v(Stretch s, Tile<X> to) const {
    return load(v, s, E, to, true, false);
  }

  /// Asks for rows of a tile to come.
  template <class X>
  void want(Rows<X> rows, Stretch s, Index width, Ahead& ahead) const {
    constexpr Index size = sizeof(X);
    if (rows.data && !order && s.size > 0) ahead.want(rows(s.first), s.size, width * size, rows.stride * size);
  }
  void want_q(Stretch s, Ahead& ahead) const { want(q, s, D, ahead); }
  void want_kv(Stretch s, Ahead& ahead) const { want(k, s, D, ahead), want(v, s, E, ahead); }

  /// s·q, k̃ and v, copied.
  void copy_q(Stretch s, Tile<A> to) const {
    for (Index i = 0; i < s.size; ++i) load_row(q(token(s.first + i)), D, scale, to(i));
  }
  void copy_k(Stretch s, Tile<A> to) const { copy(k, s, D, to, key_mask, M::gated); }
  void copy_v(Stretch s, Tile<A> to) const { copy(v, s, E, to, key_mask, false); }

 private:
  template <class X>
  Tile<const X> load(Rows<const T> rows, Stretch s, Index width, Tile<X> to, bool masked, bool gated) const {
    masked = masked && key_mask && any_padded(s);
    if constexpr (std::same_as<T, X>) {
      // Rows far apart fall into few sets of the cache: a copy costs 2 % of what is done with it, and they more.
      const bool close = rows.stride >= width && rows.stride < 2 * width;
      if (close && !order && !masked && !gated && width % kWidth<A> == 0) return {rows(s.first), rows.stride};
    }
    copy(rows, s, width, to, masked, gated);
    return to;
  }

  template <class X>
  void copy(Rows<const T> rows, Stretch s, Index width, Tile<X> to, bool masked, bool gated) const {
    for (Index i = 0; i < s.size; ++i) {
      const Index t = token(s.first + i);
      if (masked && padded(t)) {
        std::fill_n(to(i), to.stride, X(0));
      } else if constexpr (std::same_as<X, A>) {
        load_row(rows(t), width, gated ? key_factor(t) : A(1), to(i));
      } else {
        round_row(rows(t), width, gated ? key_factor(t) : A(1), to(i), to.stride);
      }
    }
  }

  bool any_padded(Stretch s) const {
    for (Index i = 0; i < s.size; ++i) {
      if (padded(token(s.first + i))) return true;
    }
    return false;
  }
};

}  // namespace lion::cpu
