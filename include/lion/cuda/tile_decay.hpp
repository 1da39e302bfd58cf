#pragma once
/// The weights of a tile of tokens under a mask, in shared memory: mask/tile_decay.hpp by the threads of a block.

#include "lion/cuda/tile.hpp"
#include "lion/mask/tile_decay.hpp"

namespace lion::cuda {

/// A sum of log-decays, whose differences are as good as double's once they are rounded to A: two floats, or a double.
template <class A>
struct LogSum {
  float high, low;
  LION_DEVICE static LogSum of(double sum) {
    const float high = static_cast<float>(sum);
    return {high, static_cast<float>(sum - static_cast<double>(high))};
  }
  LION_DEVICE friend A operator-(LogSum x, LogSum y) { return (x.high - y.high) + (x.low - y.low); }
};
template <>
struct LogSum<double> {
  double sum;
  LION_DEVICE static LogSum of(double sum) { return {sum}; }
  LION_DEVICE friend double operator-(LogSum x, LogSum y) { return x.sum - y.sum; }
};

/// e to an exponent ≤ 0, exactly 0 from the horizon on.
template <class Dev, class A>
LION_DEVICE A decayed(A exponent) {
  return exponent > static_cast<A>(mask::kHorizon<A>) ? Dev::exp_weight(exponent) : A(0);
}

/// Decays of the tokens of a tile, c_m from its start. Tokens beyond the stretch decay nothing. With kind `none` it is
/// empty: its weights are 1.
template <class T, mask::DecayKind kind>
class TileDecay {
 public:
  using A = accumulator_t<T>;
  static constexpr bool present = kind != mask::DecayKind::none;
  static constexpr int kRows = kTileRows<T>;

  LION_HOST_DEVICE explicit TileDecay(SharedArena& arena) {
    if constexpr (present) {
      sums_ = arena.take<LogSum<A>>(kRows + 1);
      left_ = arena.take<A>(kRows + 1);
      right_ = arena.take<A>(kRows + 1);
      total_ = arena.take<double>(1);
    }
  }

  /// Everything below, for all threads after the next barrier. Call it with all threads of the block, after a barrier
  /// since the last use.
  template <class Dev, class M>
  LION_DEVICE void derive(const Dev& dev, const Walk<T, M>& walk, Index b, Index h, Stretch s) {
    if constexpr (present) {
      if (dev.warp() != 0) return;
      constexpr int kEach = kRows / 32;  // tokens of a lane
      double c[kEach + 1];
      c[0] = 0;
      LION_UNROLL
      for (int i = 0; i < kEach; ++i) {
        const Index place = dev.lane() * kEach + i;
        c[i + 1] = c[i] + (place < s.size ? mask::bounded(walk.log_decay(b, h, walk.token(s.first + place))) : 0.0);
      }
      double before = c[kEach];
      LION_UNROLL
      for (int by = 1; by < 32; by *= 2) {
        const double other = dev.shuffle_up(before, by);
        if (dev.lane() >= by) before += other;
      }
      const double total = dev.shuffle(before, 31);
      before -= c[kEach];
      LION_UNROLL
      for (int i = 0; i <= kEach; ++i) {
        if (i == kEach && dev.lane() != 31) break;
        const int m = dev.lane() * kEach + i;
        const double sum = before + c[i];
        sums_[m] = LogSum<A>::of(sum);
        left_[m] = decayed<Dev>(static_cast<A>(sum));
        right_[m] = decayed<Dev>(static_cast<A>(total - sum));
      }
      if (dev.lane() == 0) *total_ = total;
    }
  }

  /// log of the decay across the tile.
  LION_DEVICE double total() const {
    if constexpr (present) return *total_;
    return 0;
  }

  /// How token i sees, and enters, the state at the tile's left or right edge.
  LION_DEVICE A from_left(int i) const { return weight(left_, i); }
  LION_DEVICE A to_left(int i) const { return weight(left_, i + 1); }
  LION_DEVICE A from_right(int i) const { return weight(right_, i + 1); }
  LION_DEVICE A to_right(int i) const { return weight(right_, i); }

  /// M_ij inside the tile.
  template <class Dev>
  LION_DEVICE A pair(int i, int j) const {
    if constexpr (present) return decayed<Dev>(i >= j ? sums_[i] - sums_[j] : sums_[j + 1] - sums_[i + 1]);
    return A(1);
  }

 private:
  LION_DEVICE A weight(const A* weights, int m) const {
    if constexpr (present) return weights[m];
    return A(1);
  }

  LogSum<A>* sums_ = nullptr;             // [kRows + 1] c_m
  A *left_ = nullptr, *right_ = nullptr;  // [kRows + 1] e^(c_m − c_a), e^(c_b − c_m)
  double* total_ = nullptr;               // [1]
};

}  // namespace lion::cuda
