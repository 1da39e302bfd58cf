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

  /// s·q → [n, D]
  void load_q(Stretch s, Tile<A> to) const {
    for (Index i = 0; i < s.size; ++i) load_row(q(token(s.first + i)), D, scale, to(i));
  }

  /// γ·k → [n, D], 0 where padded, whatever lies there.
  void load_k(Stretch s, Tile<A> to) const {
    for (Index i = 0; i < s.size; ++i) {
      const Index t = token(s.first + i);
      if (padded(t)) {
        std::fill_n(to(i), to.stride, A(0));
      } else {
        load_row(k(t), D, key_factor(t), to(i));
      }
    }
  }

  /// v → [n, E], 0 where padded.
  void load_v(Stretch s, Tile<A> to) const {
    for (Index i = 0; i < s.size; ++i) {
      const Index t = token(s.first + i);
      if (padded(t)) {
        std::fill_n(to(i), to.stride, A(0));
      } else {
        load_row(v(t), E, A(1), to(i));
      }
    }
  }
};

}  // namespace lion::cpu
