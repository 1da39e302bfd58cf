#pragma once
/// Gradients of one head along one order in the recurrent form: two sweeps, one token at a time (math.md §2, §4).

#include "lion/cpu/gradient_rows.hpp"
#include "lion/cpu/product.hpp"
#include "lion/cpu/rnn_forward.hpp"

namespace lion::cpu {

template <class A, class M>
struct RnnBackwardScratch {
  RnnScratch<A, M::decay> rows;  // its state is F or G
  Tile<A> dn;                    // [kTile, E]
  A *dd, *dq, *dk, *dv;          // [kTile], [D], [D], [E]
  A* dq_crossed;                 // [D]
  State<A> queries;              // T or R
  State<A> crossed;              // of F or G, with one decay per head: see cross; a key's own token counts here
  MaskScalars<M::decay, M::gated> scalars;

  RnnBackwardScratch(Arena& arena, Index L, Index D, Index E)
      : rows(arena, D, E),
        dn(take_tile<A>(arena, kTile, E)),
        dd(arena.take<A>(kTile)),
        dq(arena.take<A>(D)),
        dk(arena.take<A>(D)),
        dv(arena.take<A>(E)),
        dq_crossed(arena.take<A>(D)),
        queries(arena, D, E),
        scalars(arena, L) {
    if constexpr (M::decay == mask::DecayKind::per_head) crossed = State<A>(arena, D, E);
  }
};

/// As BackwardWalk, for which see what goes where.
template <class T, class M, class Normaliser, class Direction>
class RnnBackwardWalk {
 public:
  using A = accumulator_t<T>;
  using Scratch = RnnBackwardScratch<A, M>;
  static constexpr bool sums = Normaliser::divides;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool per_token = M::decay == mask::DecayKind::per_token;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;
  static constexpr bool collapses = !decays && Direction::past && Direction::future;

  RnnBackwardWalk(const Head<T, M>& head, const UpstreamRows<T>& upstream, const GradientRows<A>& gradients,
                  Scratch& scratch, bool begins = true)
      : head_(head), upstream_(upstream), gradients_(gradients), s_(scratch) {
    if (begins) s_.scalars.clear(head_);
    gradients_.begin_at_zero(head_);
  }

  /// One global pair of states: all tokens enter, then all look.
  void run_global(const IncomingBackward<A>& incoming)
    requires collapses
  {
    start_global(incoming);
    enter_globally();
    look_globally();
  }

  template <class Give>
  void run(Index chunk, const IncomingBackward<A>& incoming, Give&& give) {
    sweep_out<true>(sweep_states(incoming, true), incoming, false);
    sweep_out<false>(sweep_states(incoming, false), incoming, true);
    finish(chunk, anchors_, give);
  }

  void pass(HalfPass half, const form::Plan& plan, const IncomingBackward<A>& incoming,
            const SweepStates<A>& of_earlier, const SweepStates<A>& of_later) {
    const SweepStates<A>& to = half.later ? of_later : of_earlier;
    if constexpr (collapses) {
      if (plan.global) {
        start_global({half.global<A>(incoming.keys, of_earlier.keys, of_later.keys),
                      half.global<A>(incoming.queries, of_earlier.queries, of_later.queries)});
        if (half.outwards) return look_globally();
        enter_globally();
        return store(to);
      }
    }
    if (half.outwards) {
      half.later ? sweep_out<true>(of_earlier, incoming, true) : sweep_out<false>(of_later, incoming, true);
    } else {
      const SweepStates<const A> from = sweep_states(incoming, !half.later);
      half.later ? sweep<false>(from, false) : sweep<true>(from, false);
      store(to);
    }
  }

  template <class Give>
  void finish(Index, Anchors anchors, Give&& give) const {
    if constexpr (per_token) give_decays(s_.scalars, anchors, head_, Pieces::even(head_.sequence, kTile), give);
  }

  double decay_sum() const { return decay_sum_; }
  Anchors anchors() const { return anchors_; }

 private:
  using Row = Eigen::Map<Eigen::Matrix<A, Eigen::Dynamic, 1>>;

  void start(const SweepStates<const A>& from) {
    s_.rows.state.start(from.keys, head_.b, head_.h);
    s_.queries.start(from.queries, head_.b, head_.h);
    if constexpr (per_head) s_.crossed.start(from.crossed, head_.b, head_.h);
  }

  void store(const SweepStates<A>& to) const {
    s_.rows.state.store(to.keys, head_.b, head_.h);
    s_.queries.store(to.queries, head_.b, head_.h);
    if constexpr (per_head) s_.crossed.store(to.crossed, head_.b, head_.h);
  }

  void start_global(const IncomingBackward<A>& incoming) {
    start(sweep_states(incoming, true));
    if (incoming.keys.from_later) s_.rows.state.add(incoming.keys.from_later, head_.b, head_.h);
    if (incoming.queries.from_later) s_.queries.add(incoming.queries.from_later, head_.b, head_.h);
  }

  void enter_globally() {
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = 0; i < tiles.count; ++i) {
      load(tiles[i]);
      for (Index j = 0; j < tiles[i].size; ++j) enter_token<true, true>(j);
    }
  }

  void look_globally() {
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = 0; i < tiles.count; ++i) {
      load(tiles[i]);
      for (Index j = 0; j < tiles[i].size; ++j) {
        const Index t = head_.token(tiles[i].first + j);
        look_from<true, true>(j);
        add_token(t);
      }
    }
  }

  template <bool left_to_right>
  void sweep_out(const SweepStates<const A>& from, const IncomingBackward<A>& incoming, bool own) {
    sweep<left_to_right>(from, own);
    const SweepStates<const A> beyond = sweep_states(incoming, !left_to_right);
    if constexpr (per_token && left_to_right) {
      if (Direction::past) anchors_.e = s_.rows.state.inner(beyond.queries, head_.b, head_.h);
      if (Direction::future) anchors_.f = s_.queries.inner(beyond.keys, head_.b, head_.h);
    }
    if constexpr (per_head) decay_sum_ += s_.crossed.inner(beyond.queries, head_.b, head_.h);
  }

  void load(Stretch tile) {
    s_.rows.load(head_, tile);
    upstream_.load(head_, tile, s_.dn, s_.dd);
  }

  static Matrix<A> body(const State<A>& state) { return matrix(state.body.data, state.D, state.E, state.body.stride); }
  Row query(Index j) const { return Row(s_.rows.q(j), head_.D); }
  Row key(Index j) const { return Row(s_.rows.k(j), head_.D); }
  Row value(Index j) const { return Row(s_.rows.v(j), head_.E); }
  Row slope(Index j) const { return Row(s_.dn(j), head_.E); }
  Row dq() const { return Row(s_.dq, head_.D); }
  Row dk() const { return Row(s_.dk, head_.D); }
  Row dv() const { return Row(s_.dv, head_.E); }
  Row dq_crossed() const { return Row(s_.dq_crossed, head_.D); }

  template <bool left_to_right>
  void sweep(const SweepStates<const A>& from, bool own) {
    constexpr bool keys = left_to_right ? Direction::past : Direction::future;
    constexpr bool queries = left_to_right ? Direction::future : Direction::past;
    start(from);
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = 0; i < tiles.count; ++i) {
      const Stretch tile = tiles[left_to_right ? i : tiles.count - 1 - i];
      load(tile);
      for (Index m = 0; m < tile.size; ++m) {
        const Index j = left_to_right ? m : tile.size - 1 - m;
        const Index t = head_.token(tile.first + j);
        look_from<keys, queries>(j);
        if constexpr (per_token) {
          const double sign = left_to_right ? 1 : -1;
          (left_to_right ? s_.scalars.e : s_.scalars.f)[t] += sign * static_cast<double>(query(j).dot(dq()));
          (left_to_right ? s_.scalars.f : s_.scalars.e)[t] += sign * static_cast<double>(key(j).dot(dk()));
        }
        if (per_head && !s_.crossed.zero) {
          dq_crossed().noalias() = body(s_.crossed) * slope(j);
          if constexpr (sums) dq_crossed() += s_.dd[j] * Row(s_.crossed.column, head_.D);
          decay_sum_ += static_cast<double>(query(j).dot(dq_crossed()));
        }
        if (own) add_own(j);
        add_token(t);
        enter_token<keys, queries>(j);
      }
    }
  }

  /// What the states give to a token: overwrites dq, dk, dv.
  template <bool keys, bool queries>
  void look_from(Index j) {
    dq().setZero();
    dk().setZero();
    dv().setZero();
    const A lambda = s_.rows.lambda[j];
    if (keys && !s_.rows.state.zero) {
      dq().noalias() += body(s_.rows.state) * slope(j);
      if constexpr (sums) dq() += s_.dd[j] * Row(s_.rows.state.column, head_.D);
    }
    if (queries && !s_.queries.zero) {
      dk().noalias() += body(s_.queries) * value(j);
      if constexpr (sums) dk() += Row(s_.queries.column, head_.D);
      dk() *= lambda;
      dv().noalias() += body(s_.queries).transpose() * key(j);
      dv() *= lambda;
    }
  }

  /// A token's own key and value: the diagonal.
  void add_own(Index j) {
    const A slope_of_pair = slope(j).dot(value(j)) + (sums ? s_.dd[j] : A(0));
    const A score = query(j).dot(key(j));
    dq() += slope_of_pair * key(j);
    dk() += slope_of_pair * query(j);
    dv() += score * slope(j);
  }

  void add_token(Index t) {
    add_row(s_.dq, head_.D, head_.scale, gradients_.dq(t));
    if (head_.padded(t)) return;
    if constexpr (M::gated) s_.scalars.gate[t] += static_cast<double>(dot_row(s_.dk, head_.k(t), head_.D));
    add_row(s_.dk, head_.D, head_.key_factor(t), gradients_.dk(t));
    add_row(s_.dv, head_.E, A(1), gradients_.dv(t));
  }

  /// F = λ (F + k v'ᵀ), T = λ T + q dn'ᵀ; likewise G and R.
  template <bool keys, bool queries>
  void enter_token(Index j) {
    const Fade<A> fade = s_.rows.fades[j];
    const Index width = padded<A>(head_.D);
    if constexpr (keys) {
      const A lambda = s_.rows.lambda[j], *k = s_.rows.k(j);
      enter_rows(s_.rows.state, fade, lambda, k, s_.rows.v(j));
      if constexpr (sums) fade_and_add(fade, lambda, k, width, s_.rows.state.column);
      if constexpr (per_head) {
        s_.crossed.fade(fade);
        s_.crossed.add(s_.rows.state, A(1));
      }
    }
    if constexpr (queries) {
      const A* q = s_.rows.q(j);
      enter_rows(s_.queries, fade, A(1), q, s_.dn(j));
      if constexpr (sums) fade_and_add(fade, s_.dd[j], q, width, s_.queries.column);
    }
  }

  /// S = fade S + factor x yᵀ.
  static void enter_rows(State<A>& state, Fade<A> fade, A factor, const A* x, const A* y) {
    state.zero = false;
    for (Index d = 0; d < state.D; ++d) fade_and_add(fade, factor * x[d], y, state.body.stride, state.body(d));
  }

  const Head<T, M>& head_;
  const UpstreamRows<T>& upstream_;
  GradientRows<A> gradients_;
  Scratch& s_;
  double decay_sum_ = 0;
  Anchors anchors_;
};

}  // namespace lion::cpu
