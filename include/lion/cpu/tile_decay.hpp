#pragma once
/// The weights of a tile of tokens under a mask: mask/tile_decay.hpp, vectorised.

#include <cmath>

#include "lion/core/workspace.hpp"
#include "lion/cpu/head.hpp"

namespace lion::cpu {

/// x = e^x for exponents ≤ 0, exactly 0 below the horizon.
template <class Expression>
auto exp_weight(const Expression& x) {
  using A = typename Expression::Scalar;
  return (x < static_cast<A>(mask::kHorizon<A>)).select(A(0), x.exp());
}

/// How tokens of a stretch see, and enter, the state at one of its edges (math.md §3): weights [n].
template <class A>
struct Edge {
  const A* from = nullptr;  // with which a token sees the state there
  const A* to = nullptr;    // with which a token enters it
};

/// Decays of up to kTile tokens, derived when asked for and kept until another stretch is. With kind `none` it is
/// empty and costs nothing; with `per_head` it is derived anew only when the length changes.
template <class A, mask::DecayKind kind>
class TileDecay {
 public:
  static constexpr bool present = kind != mask::DecayKind::none;

  TileDecay() = default;
  explicit TileDecay(Arena& arena) {
    if constexpr (present) {
      sum_ = arena.take<double>(kTile + 1);
      left_ = arena.take<A>(kTile + 1);
      right_ = arena.take<A>(kTile + 1);
      tile_ = arena.take<A>(kTile * kTile);
    }
  }

  /// Forgets what was derived: another head, order or sequence begins.
  void restart() {
    size_ = -1;
    tile_size_ = -1;
  }

  template <class Head>
  void derive(const Head& head, Stretch s) {
    if constexpr (present) {
      if (size_ == s.size && (kind == mask::DecayKind::per_head || first_ == s.first)) return;
      if (kind == mask::DecayKind::per_token || tile_size_ < s.size) tile_size_ = -1;
      first_ = s.first;
      size_ = s.size;
      sum_[0] = 0;
      for (Index i = 0; i < s.size; ++i) {
        sum_[i + 1] = sum_[i] + mask::bounded(head.log_decay(head.token(s.first + i)));
      }
      const Eigen::Map<const Eigen::ArrayXd> c(sum_, s.size + 1);
      Vector<A> left(left_, s.size + 1), right(right_, s.size + 1);
      left = c.template cast<A>();
      left = exp_weight(left);
      right = (c[s.size] - c).template cast<A>();
      right = exp_weight(right);
    }
  }

  /// log of the decay across the tile.
  double total() const {
    if constexpr (present) return sum_[size_];
    return 0;
  }
  /// No weights at all (they are 1) for kind `none`.
  Edge<A> left() const { return present ? Edge<A>{left_, left_ + 1} : Edge<A>{}; }
  Edge<A> right() const { return present ? Edge<A>{right_ + 1, right_} : Edge<A>{}; }

  /// M inside the tile [n, n], rows kTile apart; made at the first call for a stretch.
  const A* tile() {
    if constexpr (present) {
      if (tile_size_ >= size_) return tile_;
      tile_size_ = size_;
      for (Index i = 0; i < size_; ++i) {
        A* row = tile_ + i * kTile;
        for (Index j = 0; j < i; ++j) row[j] = static_cast<A>(sum_[i] - sum_[j]);
        for (Index j = i; j < size_; ++j) row[j] = static_cast<A>(sum_[j + 1] - sum_[i + 1]);
        Vector<A> m(row, size_);
        m = exp_weight(m);
      }
    }
    return tile_;
  }

 private:
  double* sum_ = nullptr;                 // [n+1] c_m
  A *left_ = nullptr, *right_ = nullptr;  // [n+1] e^(c_m − c_a), e^(c_b − c_m)
  A* tile_ = nullptr;                     // [kTile, kTile]
  Index first_ = 0, size_ = -1, tile_size_ = -1;
};

}  // namespace lion::cpu
