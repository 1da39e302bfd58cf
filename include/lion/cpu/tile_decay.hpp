#pragma once
/// The weights of a tile of tokens under a mask: mask/tile_decay.hpp, vectorised.

#include <cmath>

#include "lion/core/workspace.hpp"
#include "lion/cpu/head.hpp"

namespace lion::cpu {

/// x[i] = e^x[i] for exponents ≤ 0, exactly 0 from the horizon on.
template <class A>
void exponentials(A* x, Index n) {
  constexpr A horizon = static_cast<A>(mask::kHorizon<A>);
  Vector<A> values(x, n);
  values = (values.max)(horizon).exp();
  flush_row(x, n, A(1.01) * std::exp(horizon));  // Eigen's vectors have no select: what was cut off is the smallest
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
      tile_ = take_tile<A>(arena, kTile, kTile);
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
      right = (c[s.size] - c).template cast<A>();
      exponentials(left_, s.size + 1);
      exponentials(right_, s.size + 1);
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

  /// M inside the tile [n, n]; made at the first call for a stretch.
  Tile<A> tile() {
    if constexpr (present) {
      if (tile_size_ < size_) {
        tile_size_ = size_;
        for (Index first = 0; first < size_; first += kBlock) make_rows(first, (std::min)(kBlock, size_ - first));
      }
    }
    return tile_;
  }

 private:
  static constexpr Index kBlock = 16;

  /// Rows [a, b) of M. To the left of the block on the diagonal M is e^(c_i − c_a)·e^(c_a − c_j), to the right
  /// e^(c_b − c_{i+1})·e^(c_{j+1} − c_b), with both exponents ≤ 0: a third of the exponentials (math.md §3).
  void make_rows(Index a, Index n) {
    const Index b = a + n;
    A columns[kTile], left[kBlock], right[kBlock];
    for (Index j = 0; j < a; ++j) columns[j] = static_cast<A>(sum_[a] - sum_[j]);
    for (Index j = a; j < b; ++j) columns[j] = 0;
    for (Index j = b; j < size_; ++j) columns[j] = static_cast<A>(sum_[j + 1] - sum_[b]);
    for (Index i = 0; i < n; ++i) left[i] = static_cast<A>(sum_[a + i] - sum_[a]);
    for (Index i = 0; i < n; ++i) right[i] = static_cast<A>(sum_[b] - sum_[a + i + 1]);
    exponentials(columns, size_);
    exponentials(left, n);
    exponentials(right, n);
    for (Index i = 0; i < n; ++i) {
      A* row = tile_(a + i);
      scale_row(columns, a, left[i], row);
      for (Index j = 0; j < n; ++j) row[a + j] = static_cast<A>(mask::log_mask(sum_ + a, i, j));
      exponentials(row + a, n);
      scale_row(columns + b, size_ - b, right[i], row + b);
    }
  }

  double* sum_ = nullptr;                 // [n+1] c_m
  A *left_ = nullptr, *right_ = nullptr;  // [n+1] e^(c_m − c_a), e^(c_b − c_m)
  Tile<A> tile_;                          // [kTile, kTile]
  Index first_ = 0, size_ = -1, tile_size_ = -1;
};

}  // namespace lion::cpu
