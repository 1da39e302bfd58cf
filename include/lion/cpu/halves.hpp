#pragma once
/// A long sequence in two halves, where there are few: two threads work on one sequence, at the cost of one.

#include <algorithm>

#include "lion/core/stretch.hpp"
#include "lion/core/workspace.hpp"
#include "lion/segment.hpp"

namespace lion::cpu {

/// Each half is swept twice: towards the middle at first, so that the state of all before the middle, and of all after
/// it, lies there when both have arrived; and from the middle outwards with the state that the other one left. These
/// are the two sweeps over the whole sequence, each begun by one half and ended by the other: nothing is computed
/// twice.
struct Halves {
  Index granule = 0;  ///< the middle lies at a multiple of so many tokens; 0: sequences stay whole

  /// Where sequences are few, and the longest so long that it does not stay in the second cache from sweep to sweep
  /// anyway. By the shape alone, for the same bits.
  static Halves where_they_pay(Index sequences, Index longest, Index granule) {
    const bool pay = sequences > 0 && sequences < kEnough && longest >= kLong && granule <= longest / 2;
    return {pay ? granule : 0};
  }
  static constexpr Index kEnough = 16, kLong = 4096;

  explicit operator bool() const { return granule > 0; }

  Stretch operator()(Stretch sequence, bool later) const {
    const Index pieces = sequence.size / granule + (sequence.size % granule > 0);
    const Index middle = sequence.first + pieces / 2 * granule;
    return later ? Stretch{middle, sequence.end() - middle} : Stretch{sequence.first, middle - sequence.first};
  }

  /// Calls pass(first, count, p) for each of `passes` over some of `tasks` sequences, then for the next: as many at
  /// once as there are threads, so that scratch is what it is with whole sequences, and rows stay in the caches.
  template <class Pass>
  static void for_each_pass(Index tasks, Index at_once, Index passes, Pass&& pass) {
    for (Index first = 0; first < tasks; first += at_once) {
      for (Index p = 0; p < passes; ++p) pass(first, (std::min)(at_once, tasks - first), p);
    }
  }
};

/// One pass over one half.
struct HalfPass {
  bool later;     ///< the half after the middle
  bool outwards;  ///< the second pass: right to left over the earlier half, left to right over the later one

  /// Of what comes into a sequence, what this half begins with.
  template <class A>
  Incoming<A> own(const Incoming<A>& incoming) const {
    if (later) return {.from_later = incoming.from_later};
    return {.from_earlier = incoming.from_earlier};
  }

  /// What a pass under one global state begins with: towards the middle what comes into this half, outwards what both
  /// halves left there.
  template <class A>
  Incoming<A> global(const Incoming<A>& incoming, const View<const A, 4>& of_earlier,
                     const View<const A, 4>& of_later) const {
    return outwards ? Incoming<A>{of_earlier, of_later} : own(incoming);
  }
};

/// Where the states of a sweep of the backward pass lie [*,*,D,E+1]: F or G, T or R, and with one decay per head the
/// former with each term times the tokens that it has crossed (see cross).
template <class A>
struct SweepStates {
  View<A, 4> keys{}, queries{}, crossed{};

  template <std::same_as<const A> C>
    requires(!std::is_const_v<A>)
  operator SweepStates<C>() const {
    return {keys, queries, crossed};
  }
};

/// What a sweep begins with, of what comes into a sequence.
template <class A>
SweepStates<const A> sweep_states(const IncomingBackward<A>& incoming, bool left_to_right) {
  if (left_to_right) return {incoming.keys.from_earlier, incoming.queries.from_earlier};
  return {incoming.keys.from_later, incoming.queries.from_later};
}

/// The states that halves leave in the middle: `kinds` for each half of each of `sequences`.
template <class A>
class MiddleStates {
 public:
  MiddleStates() = default;
  MiddleStates(Arena& arena, Index sequences, Index kinds, Index D, Index E)
      : data_(arena.take<A>(sequences * 2 * kinds * D * (E + 1))), kinds_(kinds), D_(D), E_(E) {}

  /// [*,*,D,E+1], the same for any batch and head.
  View<A, 4> operator()(Index sequence, bool later, Index kind = 0) const {
    const Index place = (2 * sequence + later) * kinds_ + kind;
    return {data_ + place * D_ * (E_ + 1), {1, 1, D_, E_ + 1}, {0, 0, E_ + 1, 1}};
  }

 private:
  A* data_ = nullptr;
  Index kinds_ = 0, D_ = 0, E_ = 0;
};

}  // namespace lion::cpu
