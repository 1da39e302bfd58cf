#pragma once
/// From the products of a tile of pairs to what gradients are made of, and the pairs' shares in the gradient of a mask.

#include "lion/cpu/pairs.hpp"

namespace lion::cpu {

/// For w_ij = P_ij q_i·k_j over a tile of pairs: with one decay per head Σ |i−j| w_ij, with one per token the sums over
/// the queries and over the keys of the pairs whose key is earlier (`past`), and of those whose key is later.
template <class A, mask::DecayKind kind>
class PairTally {
 public:
  static constexpr bool per_head = kind == mask::DecayKind::per_head;
  static constexpr bool per_token = kind == mask::DecayKind::per_token;

  PairTally() = default;
  explicit PairTally(Arena& arena) {
    if constexpr (per_token) {
      past_queries_ = arena.take<A>(kTile);
      future_queries_ = arena.take<A>(kTile);
      past_keys_ = take_tile<A>(arena, kTile, kWidth<A>);
      future_keys_ = take_tile<A>(arena, kTile, kWidth<A>);
    }
  }

  void start(Stretch queries, Stretch keys) {
    queries_ = queries;
    keys_ = keys;
    if constexpr (per_token) {
      clear_rows(past_keys_, keys.size);
      clear_rows(future_keys_, keys.size);
    }
  }

  /// x, y [keys, queries]: of q·k and dn·v they become A = mask q·k and P = mask (dn·v + dd); dd may be absent.
  template <class Mask>
  void weigh(const Mask& mask, const A* dd, Tile<A> x, Tile<A> y) {
    if (!per_token || queries_.first == keys_.first) {
      weigh_as<true, true>(mask, dd, x, y);
    } else if (keys_.first < queries_.first) {
      weigh_as<true, false>(mask, dd, x, y);
    } else {
      weigh_as<false, true>(mask, dd, x, y);
    }
  }

  double distances() const { return distances_; }

  /// of_query(i, past, future) and of_key(j, past, future).
  template <class OfQuery, class OfKey>
  void give(OfQuery&& of_query, OfKey&& of_key) const {
    for (Index i = 0; i < queries_.size; ++i) of_query(i, past_queries_[i], future_queries_[i]);
    for (Index j = 0; j < keys_.size; ++j) {
      of_key(j, sum<A>(load<A>(past_keys_(j))), sum<A>(load<A>(future_keys_(j))));
    }
  }

 private:
  /// `past`, `future`: keys may be earlier, later than their queries; both in a tile on the diagonal.
  template <bool past, bool future, class Mask>
  void weigh_as(const Mask& mask, const A* dd, Tile<A> x, Tile<A> y) {
    distances_ = 0;
    detail::for_each_columns<A>(queries_.size, [&](Index first, auto vectors) {
      weigh_columns<past, future, decltype(vectors)::value>(mask, dd, x, y, first);
    });
  }

  /// The queries from `first` on, `count` vectors of them. Not in the lambda itself: nvcc 13 takes one that it might
  /// evaluate as code for the device, too, and ends with an internal error at the vectors of zeros.
  template <bool past, bool future, Index count, class Mask>
  LION_ALWAYS_INLINE void weigh_columns(const Mask& mask, const A* dd, Tile<A> x, Tile<A> y, Index first) {
    constexpr Index W = kWidth<A>;
    [[maybe_unused]] Packed<A> past_totals[count] = {}, future_totals[count] = {}, distances{};
    // Columns beyond the queries hold anything.
    const Packed<A> end = filled(static_cast<A>(queries_.size));
    for (Index j = 0; j < keys_.size; ++j) {
      [[maybe_unused]] Packed<A> past_key{}, future_key{};
      LION_UNROLL_BY(4)
      for (Index c = 0; c < count; ++c) {
        const Index i = first + c * W;
        const Packed<A> factor = mask(j, i), score = load(x(j) + i);
        const Packed<A> slope = factor * (dd ? load(y(j) + i) + load(dd + i) : load(y(j) + i));
        store(y(j) + i, slope);
        store(x(j) + i, factor * score);
        if constexpr (per_head || per_token) {
          const Packed<A> number = lanes<A>(i);
          const Packed<A> pair = number < end ? slope * score : filled(A(0));
          if constexpr (per_head) {
            const Packed<A> ahead = number + static_cast<A>(queries_.first - keys_.first - j);
            distances += (ahead < 0 ? -ahead : ahead) * pair;
          } else if constexpr (past && future) {
            const Packed<A> earlier = number > static_cast<A>(j) ? pair : filled(A(0));
            const Packed<A> later = number < static_cast<A>(j) ? pair : filled(A(0));
            past_totals[c] += earlier, past_key += earlier;
            future_totals[c] += later, future_key += later;
          } else if constexpr (past) {
            past_totals[c] += pair, past_key += pair;
          } else {
            future_totals[c] += pair, future_key += pair;
          }
        }
      }
      if constexpr (per_token && past) store(past_keys_(j), load<A>(past_keys_(j)) + past_key);
      if constexpr (per_token && future) store(future_keys_(j), load<A>(future_keys_(j)) + future_key);
    }
    if constexpr (per_head) distances_ += static_cast<double>(sum<A>(distances));
    if constexpr (per_token) {
      LION_UNROLL_BY(4)
      for (Index c = 0; c < count; ++c) {
        store(past_queries_ + first + c * W, past_totals[c]);
        store(future_queries_ + first + c * W, future_totals[c]);
      }
    }
  }

  Stretch queries_, keys_;
  double distances_ = 0;
  A *past_queries_ = nullptr, *future_queries_ = nullptr;  // [kTile]
  Tile<A> past_keys_, future_keys_;                        // [kTile, W], to be summed
};

}  // namespace lion::cpu
