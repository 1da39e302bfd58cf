#pragma once
/// The recurrent form: two sweeps, one token at a time (math.md §2). Rows are fetched a tile at a time.

#include "lion/core/config.hpp"
#include "lion/cpu/halves.hpp"
#include "lion/cpu/row_sums.hpp"
#include "lion/cpu/state.hpp"
#include "lion/cpu/tile_decay.hpp"
#include "lion/form/cost.hpp"

namespace lion::cpu {

/// What a token does to a state: looks at it (n += Sᵀq), lets it fade (λ S), enters it (S += k vᵀ), in this order.
template <bool looks_, bool fades_, bool enters_>
struct TokenStep {
  static constexpr bool looks = looks_, fades = fades_, enters = enters_;
};

/// One pass over the state, `vectors` vectors of columns at a time in registers.
template <class Step, Index vectors, class A>
inline void step_columns(Tile<A> state, Index D, Fade<A> fade, const A* q, const A* k, const A* v, A* n) {
  constexpr Index W = kWidth<A>;
  Packed<A> sums[vectors], values[vectors];
  LION_UNROLL_BY(4)
  for (Index j = 0; j < vectors; ++j) {
    if constexpr (Step::looks) sums[j] = load(n + j * W);
    if constexpr (Step::enters) values[j] = load(v + j * W);
  }
  for (Index d = 0; d < D; ++d) {
    A* row = state(d);
    LION_UNROLL_BY(4)
    for (Index j = 0; j < vectors; ++j) {
      const Packed<A> entry = load(row + j * W);
      if constexpr (Step::looks) sums[j] += q[d] * entry;
      if constexpr (Step::fades && Step::enters) {
        store(row + j * W, fade.keep * entry + (fade.change * entry + k[d] * values[j]));
      } else if constexpr (Step::enters) {
        store(row + j * W, entry + k[d] * values[j]);
      }
    }
  }
  LION_UNROLL_BY(4)
  for (Index j = 0; j < vectors; ++j) {
    if constexpr (Step::looks) store(n + j * W, sums[j]);
  }
}

template <class Step, bool with_column, class A>
void step(State<A>& state, Fade<A> fade, const A* q, const A* k, const A* v, A* n, A* d) {
  constexpr Index W = kWidth<A>;
  Index first = 0;
  const auto columns = [&] { return Tile<A>{state.body.data + first, state.body.stride}; };
  for (; first + 4 * W <= state.body.stride; first += 4 * W) {
    step_columns<Step, 4>(columns(), state.D, fade, q, k, v + first, n + first);
  }
  for (; first < state.body.stride; first += W) {
    step_columns<Step, 1>(columns(), state.D, fade, q, k, v + first, n + first);
  }
  if constexpr (with_column) {
    if constexpr (Step::looks) *d += dot(q, state.column, padded<A>(state.D));
    if constexpr (Step::fades && Step::enters) {
      fade_and_add(fade, A(1), k, padded<A>(state.D), state.column);
    } else if constexpr (Step::enters) {
      add_row(k, state.D, A(1), state.column);
    }
  }
  if constexpr (Step::enters) state.zero = false;
}

template <class A, mask::DecayKind kind>
struct RnnScratch {
  Tile<A> q, k, v;  // [kTile, D], [kTile, D], [kTile, E]
  A* lambda;        // [kTile]
  Fade<A>* fades;   // [kTile], the same for states
  State<A> state;

  RnnScratch(Arena& arena, Index D, Index E)
      : q(take_tile<A>(arena, kTile, D)),
        k(take_tile<A>(arena, kTile, D)),
        v(take_tile<A>(arena, kTile, E)),
        lambda(arena.take<A>(kTile)),
        fades(arena.take<Fade<A>>(kTile)),
        state(arena, D, E) {}

  /// Rows of a tile, and λ of each token.
  template <class Head>
  void load(const Head& head, Stretch tile) {
    head.copy_q(tile, q);
    head.copy_k(tile, k);
    head.copy_v(tile, v);
    for (Index i = 0; i < tile.size; ++i) {
      const double log_decay = mask::bounded(head.log_decay(head.token(tile.first + i)));
      lambda[i] = static_cast<A>(std::exp(log_decay));
      fades[i] = Fade<A>::by(log_decay);
    }
  }
};

/// The sums of one head along one order, into `rows`.
template <class T, class M, class Normaliser, class Direction, class Finish>
class RnnForwardWalk {
 public:
  using A = accumulator_t<T>;
  using Scratch = RnnScratch<A, M::decay>;
  static constexpr bool collapses = M::decay == mask::DecayKind::none && Direction::past && Direction::future;

  RnnForwardWalk(const Head<T, M>& head, RowSums<A, Finish>& rows, Scratch& scratch)
      : head_(head), rows_(rows), s_(scratch) {}

  void run(Index, const Incoming<A>& incoming, const View<A, 4>& outgoing = {}) {
    if constexpr (Direction::past) sweep<true>(incoming.from_earlier, !Direction::future, outgoing);
    if constexpr (Direction::future) sweep<false>(incoming.from_later, true, {});
  }

  /// One global state: all tokens enter, then all look.
  void run_global(const Incoming<A>& incoming)
    requires collapses
  {
    start_global(incoming);
    enter_globally();
    look_globally();
  }

  /// As ForwardWalk's.
  void pass(HalfPass half, const form::Plan& plan, const Incoming<A>& incoming, const View<A, 4>& of_earlier,
            const View<A, 4>& of_later) {
    const View<A, 4>& to = half.later ? of_later : of_earlier;
    if constexpr (collapses) {
      if (plan.global) {
        start_global(half.global<A>(incoming, of_earlier, of_later));
        if (half.outwards) return look_globally();
        enter_globally();
        return s_.state.store(to, head_.b, head_.h);
      }
    }
    if (half.outwards) {
      half.later ? sweep<true>(of_earlier, true, {}) : sweep<false>(of_later, true, {});
    } else {
      half.later ? sweep<false>(incoming.from_later, false, to) : sweep<true>(incoming.from_earlier, false, to);
    }
  }

 private:
  void start_global(const Incoming<A>& incoming) {
    s_.state.start(incoming.from_earlier, head_.b, head_.h);
    if (incoming.from_later) s_.state.add(incoming.from_later, head_.b, head_.h);
  }

  void enter_globally() {
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = 0; i < tiles.count; ++i) {
      s_.load(head_, tiles[i]);
      for (Index j = 0; j < tiles[i].size; ++j) {
        step<TokenStep<false, false, true>, sums>(s_.state, {}, s_.q(j), s_.k(j), s_.v(j), rows_.scratch_n(0),
                                                  rows_.scratch_d);
      }
    }
  }

  void look_globally() {
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = tiles.count; i-- > 0;) {
      head_.copy_q(tiles[i], s_.q);
      rows_.begin(head_, tiles[i]);
      rows_.begin_at_zero();
      for (Index j = 0; j < tiles[i].size; ++j) {
        step<TokenStep<true, false, false>, sums>(s_.state, {}, s_.q(j), s_.k(j), s_.v(j), rows_.n(j), rows_.d + j);
      }
      rows_.end(head_, tiles[i], true);
    }
    rows_.keep();
  }

  /// A token looks at the state before it enters; `own` adds its own key and value to its row.
  template <bool left_to_right>
  void sweep(const View<const A, 4>& incoming, bool own, const View<A, 4>& outgoing) {
    s_.state.start(incoming, head_.b, head_.h);
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    const Index D = head_.D, E = head_.E;
    for (Index i = 0; i < tiles.count; ++i) {
      const Stretch tile = tiles[left_to_right ? i : tiles.count - 1 - i];
      s_.load(head_, tile);
      rows_.begin(head_, tile);
      rows_.begin_at_zero();
      for (Index j = 0; j < tile.size; ++j) {
        const Index at = left_to_right ? j : tile.size - 1 - j;
        A *q = s_.q(at), *k = s_.k(at), *v = s_.v(at);
        if (own) {
          const A score = dot(q, k, s_.q.stride);
          add_row(v, E, score, rows_.n(at));
          rows_.d[at] += score;
        }
        constexpr bool fades = M::decay != mask::DecayKind::none;
        if constexpr (fades) scale_row(k, D, s_.lambda[at], k);
        step<TokenStep<true, fades, true>, sums>(s_.state, s_.fades[at], q, k, v, rows_.n(at), rows_.d + at);
      }
      rows_.end(head_, tile, own);
    }
    if (outgoing) s_.state.store(outgoing, head_.b, head_.h);
    rows_.keep();
  }

  static constexpr bool sums = Normaliser::divides;
  const Head<T, M>& head_;
  RowSums<A, Finish>& rows_;
  Scratch& s_;
};

}  // namespace lion::cpu
