#pragma once
/// The weights of a tile of tokens under a mask: mask/tile_decay.hpp, vectorised.

#include "lion/core/workspace.hpp"
#include "lion/cpu/exponential.hpp"
#include "lion/cpu/head.hpp"

namespace lion::cpu {

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
      left_ = arena.take<A>(padded<A>(kTile + 1));
      right_ = arena.take<A>(padded<A>(kTile + 1));
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
      for (Index i = 0; i <= s.size; ++i) {
        left_[i] = static_cast<A>(sum_[i]);
        right_[i] = static_cast<A>(sum_[s.size] - sum_[i]);
      }
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

  /// Mᵀ inside the tile [n, n], a row for each key; made at the first call for a stretch.
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

  /// Rows [a, b) of Mᵀ. Left of the block on the diagonal, of queries before these keys, M is
  /// e^(c_{j+1} − c_a)·e^(c_a − c_{i+1}), right of it e^(c_i − c_b)·e^(c_b − c_j), with all exponents ≤ 0: a third of
  /// the exponentials (math.md §3). In the block the exponent is the lesser of c_i − c_j and c_{j+1} − c_{i+1}, the
  /// other one not being negative; c is kept in two parts, so that differences are rounded as they would be from
  /// double.
  void make_rows(Index a, Index n) {
    constexpr Index W = kWidth<A>;
    const Index b = a + n;
    A columns[kTile], left[kBlock], right[kBlock], high[kBlock + W], low[kBlock + W];
    for (Index i = 0; i < a; ++i) columns[i] = static_cast<A>(sum_[a] - sum_[i + 1]);
    for (Index i = a; i < kTile; ++i) columns[i] = i < b || i >= size_ ? A(0) : static_cast<A>(sum_[i] - sum_[b]);
    for (Index j = 0; j < kBlock; ++j) left[j] = static_cast<A>(sum_[(std::min)(a + j + 1, b)] - sum_[a]);
    for (Index j = 0; j < kBlock; ++j) right[j] = static_cast<A>(sum_[b] - sum_[(std::min)(a + j, b)]);
    for (Index j = 0; j < kBlock + W; ++j) {
      const double c = sum_[(std::min)(a + j, b)] - sum_[a];
      high[j] = static_cast<A>(c);
      low[j] = static_cast<A>(c - static_cast<double>(high[j]));
    }
    exponentials(columns, size_);
    exponentials(left, kBlock);
    exponentials(right, kBlock);
    for (Index j = 0; j < n; ++j) {
      A* row = tile_(a + j);
      scale_row(columns, a, left[j], row);
      for (Index i = 0; i < kBlock; i += W) {
        const Packed<A> after = (load(high + i) - high[j]) + (load(low + i) - low[j]);
        const Packed<A> before = (high[j + 1] - load(high + i + 1)) + (low[j + 1] - load(low + i + 1));
        store(row + a + i, exponential<A>(after < before ? after : before));
      }
      scale_row(columns + b, size_ - b, right[j], row + b);
    }
  }

  double* sum_ = nullptr;                 // [n+1] c_m
  A *left_ = nullptr, *right_ = nullptr;  // [n+1] e^(c_m − c_a), e^(c_b − c_m)
  Tile<A> tile_;                          // [kTile, kTile], Mᵀ
  Index first_ = 0, size_ = -1, tile_size_ = -1;
};

}  // namespace lion::cpu
