#pragma once
/// Where the tasks of a backward call work: scratch of one lane, and what the halves of a sequence share.

#include <optional>

#include "lion/cpu/backward.hpp"
#include "lion/cpu/forward_call.hpp"
#include "lion/cpu/rnn_backward.hpp"

namespace lion::cpu {

/// Scratch of one lane of a backward call.
template <class Types>
struct BackwardLane {
  using A = typename Types::A;
  using M = typename Types::M;
  using Tiles = std::conditional_t<Types::recurrent, RnnBackwardScratch<A, M>,
                                   BackwardScratch<A, M, BackwardProducts<typename Types::T, M>>>;

  Tiles tiles;
  A *dq = nullptr, *dk = nullptr, *dv = nullptr;  // [L, D], [L, D], [L, E], where the outputs cannot hold the sums
  A *y = nullptr, *row_sum = nullptr;             // [L, E], [L], where they are computed again
  std::optional<ForwardLane<Types>> forward;

  /// `apart`: what grows with the sequence lies elsewhere (BackwardHalves).
  BackwardLane(Arena& arena, const AttentionDims& dims, bool again, bool apart)
      : tiles(arena, apart ? 0 : dims.L, dims.D, dims.E) {
    if (again) forward.emplace(arena, dims, !apart, true);
    if (apart) return;
    if (!std::same_as<typename Types::T, A>) {
      dq = arena.take<A>(dims.L * dims.D);
      dk = arena.take<A>(dims.L * dims.D);
      dv = arena.take<A>(dims.L * dims.E);
    }
    if (again) {
      y = arena.take<A>(dims.L * dims.E);
      row_sum = arena.take<A>(dims.L);
    }
  }
};

/// What the two halves of a sequence share, for each of `tasks` in work at once.
template <class Types>
struct BackwardHalves {
  using A = typename Types::A;
  using M = typename Types::M;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;

  MiddleStates<A> states;
  MaskScalars<M::decay, M::gated> scalars;        // [tasks, L]
  double* decay_sums = nullptr;                   // [tasks, 4], of each pass over each half
  Anchors* anchors = nullptr;                     // [tasks]
  A *dq = nullptr, *dk = nullptr, *dv = nullptr;  // [tasks, L, D], [tasks, L, D], [tasks, L, E], as in BackwardLane
  A *y = nullptr, *row_sum = nullptr;             // [tasks, L, E], [tasks, L], likewise
  ForwardHalves<Types> forward;

  BackwardHalves() = default;
  /// `alone`: dq and dk of a task are no sums with other tasks'.
  BackwardHalves(Arena& arena, Index tasks, const AttentionDims& dims, bool again, bool alone)
      : states(arena, tasks, per_head ? 3 : 2, dims.D, dims.E),
        scalars(arena, tasks * dims.L),
        decay_sums(arena.take<double>(tasks * 4)),
        anchors(arena.take<Anchors>(tasks)) {
    if (!std::same_as<typename Types::T, A>) {
      if (alone) dq = arena.take<A>(tasks * dims.L * dims.D);
      if (alone) dk = arena.take<A>(tasks * dims.L * dims.D);
      dv = arena.take<A>(tasks * dims.L * dims.E);
    }
    if (again) {
      y = arena.take<A>(tasks * dims.L * dims.E);
      row_sum = arena.take<A>(tasks * dims.L);
      forward = ForwardHalves<Types>(arena, tasks, dims, true, true);
    }
  }

  SweepStates<A> middle(Index task, bool later) const {
    const auto state = [&](Index kind) { return states(task, later, kind); };
    return {state(0), state(1), per_head ? state(2) : View<A, 4>()};
  }
};

}  // namespace lion::cpu
