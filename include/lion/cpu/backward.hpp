#pragma once
/// Gradients of one head along one order, in tiles: the chunk form, and the full form as one chunk (math.md §4).

#include "lion/cpu/backward_scratch.hpp"
#include "lion/cpu/halves.hpp"
#include "lion/form/cost.hpp"

namespace lion::cpu {

/// Adds one head's gradients along one order to `gradients`. A mask's own come by give(token, dℓ) with one decay per
/// token, in `decay_sum()` with one per head, and in the scratch's scalars for a gate.
template <class T, class M, class Normaliser, class Direction>
class BackwardWalk {
 public:
  using A = accumulator_t<T>;
  using Products = BackwardProducts<T, M>;
  using Scratch = BackwardScratch<A, M, Products>;
  using Row = typename Products::Row;
  static constexpr bool sums = Normaliser::divides;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool per_token = M::decay == mask::DecayKind::per_token;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;
  static constexpr bool collapses = !decays && Direction::past && Direction::future;
  using Decay = TileDecay<A, M::decay>;

  /// `begins`: nothing has come to the mask's scalars yet.
  BackwardWalk(const Head<T, M>& head, const UpstreamRows<T>& upstream, const GradientRows<A>& gradients,
               Scratch& scratch, bool begins = true)
      : head_(head), upstream_(upstream), gradients_(gradients), s_(scratch) {
    s_.restart();
    if (begins) s_.scalars.clear(head_);
  }

  void run_global(const IncomingBackward<A>& incoming)
    requires collapses
  {
    start_global(incoming);
    enter_tiles<true, true, true>(Pieces::even(head_.sequence, kTile));
    look_globally();
  }

  template <class Give>
  void run(Index chunk, const IncomingBackward<A>& incoming, Give&& give) {
    const Pieces chunks = Pieces::of(head_.sequence, chunk);
    if (chunks.count > 1 || incoming.any()) {
      sweep_out<true>(chunks, sweep_states(incoming, true), incoming, false);
    }
    gradients_.begin_at_zero(head_);  // pairs add to rows of other tiles
    sweep_out<false>(chunks, sweep_states(incoming, false), incoming, true);
    finish(chunk, anchors_, give);
  }

  /// One of the two passes over a half of a sequence: as ForwardWalk's, with the states that each half left in the
  /// middle.
  void pass(HalfPass half, const form::Plan& plan, const IncomingBackward<A>& incoming,
            const SweepStates<A>& of_earlier, const SweepStates<A>& of_later) {
    const SweepStates<A>& to = half.later ? of_later : of_earlier;
    if constexpr (collapses) {
      if (plan.global) {
        start_global({half.global<A>(incoming.keys, of_earlier.keys, of_later.keys),
                      half.global<A>(incoming.queries, of_earlier.queries, of_later.queries)});
        if (half.outwards) return look_globally();
        enter_tiles<true, true, true>(Pieces::even(head_.sequence, kTile));
        return store(to);
      }
    }
    const Pieces chunks = Pieces::of(head_.sequence, plan.chunk);
    if (half.outwards) {
      half.later ? sweep_out<true>(chunks, of_earlier, incoming, true)
                 : sweep_out<false>(chunks, of_later, incoming, true);
    } else {
      const SweepStates<const A> from = sweep_states(incoming, !half.later);
      half.later ? sweep<false>(chunks, from, false, true) : sweep<true>(chunks, from, false, true);
      store(to);
    }
  }

  /// After the sweeps: gives dℓ of each token of the sequence, with one decay per token.
  template <class Give>
  void finish(Index chunk, Anchors anchors, Give&& give) const {
    if constexpr (per_token) give_decays(s_.scalars, anchors, head_, Pieces::of(head_.sequence, chunk), give);
  }

  /// dℓ of the head over what has been swept, with one decay per head.
  double decay_sum() const { return decay_sum_; }
  /// With one decay per token, after the sweep to the right.
  Anchors anchors() const { return anchors_; }

  /// What the sequence's queries hand to keys after it (left to right: T) or before it (R), in the scratch's state.
  template <bool left_to_right>
  void summarise() {
    s_.queries.start({}, head_.b, head_.h);
    enter_tiles<left_to_right, false, true>(Pieces::even(head_.sequence, kTile));
  }

 private:
  void start(const SweepStates<const A>& from) {
    s_.keys.start(from.keys, head_.b, head_.h);
    s_.queries.start(from.queries, head_.b, head_.h);
    if constexpr (per_head) s_.crossed.start(from.crossed, head_.b, head_.h);
  }

  void store(const SweepStates<A>& to) const {
    s_.keys.store(to.keys, head_.b, head_.h);
    s_.queries.store(to.queries, head_.b, head_.h);
    if constexpr (per_head) s_.crossed.store(to.crossed, head_.b, head_.h);
  }

  void start_global(const IncomingBackward<A>& incoming) {
    start(sweep_states(incoming, true));
    if (incoming.keys.from_later) s_.keys.add(incoming.keys.from_later, head_.b, head_.h);
    if (incoming.queries.from_later) s_.queries.add(incoming.queries.from_later, head_.b, head_.h);
  }

  void look_globally() {
    const typename Products::Scope scope;
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = tiles.count; i-- > 0;) {
      want(i > 0 ? tiles[i - 1] : Stretch{});
      begin(tiles[i]);
      look<true, true, true>(tiles[i], Edge<A>{}, {});
      end(tiles[i]);
    }
  }

  /// A sweep that ends where the sequence does. Tokens after a segment pair with what it leaves behind at its right
  /// edge, tokens before it at its left.
  template <bool left_to_right>
  void sweep_out(const Pieces& chunks, const SweepStates<const A>& from, const IncomingBackward<A>& incoming,
                 bool with_pairs) {
    const SweepStates<const A> beyond = sweep_states(incoming, !left_to_right);
    const bool to_the_end = left_to_right ? decays && (beyond.keys || beyond.queries) : per_head && beyond.queries;
    sweep<left_to_right>(chunks, from, with_pairs, to_the_end);
    if constexpr (per_token && left_to_right) {
      // A direction that is not looked in hands nothing over, whatever the caller passes on.
      if (Direction::past) anchors_.e = s_.keys.inner(beyond.queries, head_.b, head_.h);
      if (Direction::future) anchors_.f = s_.queries.inner(beyond.keys, head_.b, head_.h);
    }
    if constexpr (per_head) decay_sum_ += s_.crossed.inner(beyond.queries, head_.b, head_.h);
  }

  /// Where a tile lies in its sweep: log of the decay, and tokens, between its chunk's near edge and the tile.
  struct Place {
    double passed = 0;
    Index tokens = 0;
  };

  /// Left to right carries F and T, right to left G and R: keys serve the queries after them, and queries the keys.
  template <bool left_to_right>
  void sweep(const Pieces& chunks, const SweepStates<const A>& from, bool with_pairs, bool to_the_end) {
    const typename Products::Scope scope;
    constexpr bool keys = left_to_right ? Direction::past : Direction::future;
    constexpr bool queries = left_to_right ? Direction::future : Direction::past;
    start(from);
    for (Index i = 0; i < chunks.count; ++i) {
      const Stretch chunk = chunks[left_to_right ? i : chunks.count - 1 - i];
      const Pieces tiles = Pieces::even(chunk, kTile);
      Place place;
      if (tiles.count == 1) {
        want(i + 1 < chunks.count ? chunks[left_to_right ? i + 1 : chunks.count - 2 - i] : Stretch{});
      }
      for (Index j = 0; j < tiles.count; ++j) {
        const Index at = left_to_right ? j : tiles.count - 1 - j;
        s_.rows.derive(head_, tiles[at]);
        begin(tiles[at]);
        look<keys, queries, left_to_right>(tiles[at], left_to_right ? s_.rows.left() : s_.rows.right(), place);
        place.passed += s_.rows.total();
        place.tokens += tiles[at].size;
        if (with_pairs) add_pairs(tiles, at);
        end(tiles[at]);
      }
      if (i + 1 < chunks.count || to_the_end) enter_tiles<left_to_right, keys, queries>(tiles);
    }
    gradients_.filled_keys = gradients_.filled_values = true;
  }

  template <bool left_to_right, bool keys, bool queries>
  void enter_tiles(const Pieces& tiles) {
    const typename Products::Scope scope;
    for (Index j = 0; j < tiles.count; ++j) {
      const Stretch tile = tiles[left_to_right ? j : tiles.count - 1 - j];
      if (tiles.count > 1) {
        s_.ahead.forget();
        const Stretch next = j + 1 < tiles.count ? tiles[left_to_right ? j + 1 : tiles.count - 2 - j] : Stretch{};
        if (keys) head_.want_kv(next, s_.ahead);
        if (queries) head_.want_q(next, s_.ahead);
        if (queries)
          head_.want(upstream_.dy, next, head_.E, s_.ahead), head_.want(upstream_.y, next, head_.E, s_.ahead);
      }
      s_.rows.derive(head_, tile);
      const Edge<A> far = left_to_right ? s_.rows.right() : s_.rows.left();
      const Fade<A> across = Fade<A>::by(s_.rows.total());
      s_.load_kv(head_, tile);
      if constexpr (keys && per_head) cross(s_.crossed, s_.keys, across, tile.size);
      if constexpr (keys) {
        enter<Products, sums>(s_.keys, across, s_.k, s_.v, static_cast<const A*>(nullptr), far.to, tile.size, s_.scaled,
                              &s_.ahead);
      }
      if constexpr (queries) {
        load_queries(tile);
        set_weights(tile.size, head_.scale, far.from);
        enter<Products, sums>(s_.queries, across, s_.q, s_.dn, s_.dd, s_.weights, tile.size, s_.scaled, &s_.ahead);
      }
    }
  }

  /// Asks for the rows of a tile to come.
  void want(Stretch next) {
    s_.ahead.forget();
    head_.want_q(next, s_.ahead);
    head_.want(upstream_.dy, next, head_.E, s_.ahead);
    head_.want(upstream_.y, next, head_.E, s_.ahead);
    head_.want_kv(next, s_.ahead);
    head_.want(gradients_.dq, next, head_.D, s_.ahead);
    head_.want(gradients_.dk, next, head_.D, s_.ahead);
    head_.want(gradients_.dv, next, head_.E, s_.ahead);
  }

  void set_weights(Index n, A factor, const A* by) {
    for (Index i = 0; i < n; ++i) s_.weights[i] = by ? factor * by[i] : factor;
  }

  void load_queries(Stretch tile) {
    if (s_.loaded_queries == tile.first) return;
    s_.loaded_queries = tile.first;
    s_.q = head_.load_q(tile, s_.copy_q);
    upstream_.load(head_, tile, s_.dn, s_.dd);
    for (Index i = 0; i < tile.size; ++i) s_.dn(i)[head_.E] = s_.dd[i];
  }

  void begin(Stretch tile) {
    load_queries(tile);
    s_.fresh = true;
    s_.pending = false;
  }

  /// Scratch, or rows of gradients where they lie: if nothing is there yet and products can write there.
  Tile<A> target(Rows<A> rows, bool filled, Index width, Stretch tile, bool of_keys, Tile<A> scratch) const {
    const bool as_they_lie = !filled && !head_.order && width % kWidth<A> == 0;
    if (!as_they_lie || (of_keys && (M::gated || head_.key_mask))) return scratch;
    return {rows(tile.first), rows.stride};
  }

  /// The gradients of a tile are complete for this pass.
  void end(Stretch tile) {
    if (s_.pending || !gradients_.filled_keys || !gradients_.filled_values) add_keys(tile);
    if (s_.fresh) {
      if (gradients_.filled_keys) return;
      clear_rows(s_.dq, tile.size);
      dq_ = s_.dq;
    }
    add_rows(dq_, head_.D, gradients_.dq, gradients_.filled_keys, tile, false);
  }

  /// rows += or = the tile; of keys through the gate, and past the padding.
  void add_rows(Tile<A> from, Index width, Rows<A> rows, bool filled, Stretch tile, bool of_keys, bool gated = false) {
    for (Index i = 0; i < tile.size; ++i) {
      const Index t = head_.token(tile.first + i);
      if (from(i) == rows(t)) continue;
      A factor = gated ? head_.key_factor(t) : A(1);
      if (of_keys && head_.padded(t)) {
        if (!filled) std::fill_n(rows(t), width, A(0));
      } else if (filled) {
        add_row(from(i), width, factor, rows(t));
      } else {
        scale_row(from(i), width, factor, rows(t));
      }
    }
  }

  /// What the states give to a tile: dq from keys, dk and dv from queries; and their shares of the mask's gradients.
  template <bool keys, bool queries, bool left_to_right>
  void look(Stretch tile, Edge<A> near, const Place& place) {
    const Index n = tile.size, D = head_.D, E = head_.E, last = sums ? 1 : 0;
    const A factor = static_cast<A>(std::exp(place.passed));
    if (keys && !s_.keys.zero) {
      dq_ = target(gradients_.dq, gradients_.filled_keys, D, tile, false, s_.dq);
      set_weights(n, factor * head_.scale, near.from);
      Products::add(dq_, n, D, E + last, plain(s_.dn), s_.keys.body, Into<A>::set(s_.weights), &s_.ahead);
      s_.fresh = false;
      if constexpr (per_token) add_dots(tile, s_.q, dq_, left_to_right, left_to_right ? s_.scalars.e : s_.scalars.f);
      if constexpr (per_head) {
        add_distances<left_to_right>(s_.q, dq_, n, place.tokens);
        if (!s_.crossed.zero) {
          Products::add(s_.dk, n, D, E + last, plain(s_.dn), s_.crossed.body, Into<A>::set(s_.weights));
          dot_rows<A>(s_.q, s_.dk, n, D, [&](Index, A value) { decay_sum_ += static_cast<double>(value); });
        }
      }
    }
    if (queries && !s_.queries.zero) {
      s_.load_kv(head_, tile);
      dk_ = target(gradients_.dk, gradients_.filled_keys, D, tile, true, s_.dk);
      dv_ = target(gradients_.dv, gradients_.filled_values, E, tile, true, s_.dv);
      set_weights(n, factor, near.to);
      s_.state_columns.turn(Tile<const A>(s_.queries.body), D, E, A(1));
      for (Index i = 0; sums && i < n; ++i) scale_row(s_.queries.column, padded<A>(D), s_.weights[i], dk_(i));
      Products::add(dk_, n, D, E, plain(s_.v), s_.state_columns,
                    sums ? Into<A>{{}, s_.weights} : Into<A>::set(s_.weights), &s_.ahead);
      Products::add(dv_, n, E, D, plain(s_.k), s_.queries.body, Into<A>::set(s_.weights), &s_.ahead);
      if constexpr (per_token) add_dots(tile, s_.k, dk_, left_to_right, left_to_right ? s_.scalars.f : s_.scalars.e);
      // The rest of the way is the query's, which sees the same pairs in the other sweep.
      if constexpr (per_head) add_distances<left_to_right>(s_.k, dk_, n, 1);
      s_.pending = true;
    }
  }

  void add_dots(Stretch tile, Tile<const Row> x, Tile<A> dx, bool plus, double* to) const {
    const double sign = plus ? 1 : -1;
    dot_rows<A>(x, dx, tile.size, head_.D,
                [&](Index i, A value) { to[head_.token(tile.first + i)] += sign * static_cast<double>(value); });
  }

  /// Shares of dℓ with one decay per head: x_i·dx_i times the tokens between row i and the edge that a sweep comes
  /// from, and `beyond` more.
  template <bool left_to_right>
  void add_distances(Tile<const Row> x, Tile<A> dx, Index n, Index beyond) {
    dot_rows<A>(x, dx, n, head_.D, [&](Index i, A value) {
      const Index apart = beyond + (left_to_right ? i : n - 1 - i);
      decay_sum_ += static_cast<double>(apart) * static_cast<double>(value);
    });
  }

  /// Adds the tiles dk̃ and dv to the rows of dk and dv, through the gate and past the padding.
  void add_keys(Stretch tile) {
    if (!s_.pending) {  // nothing came to them
      dk_ = s_.dk, dv_ = s_.dv;
      clear_rows(dk_, tile.size), clear_rows(dv_, tile.size);
    }
    s_.pending = false;
    for (Index i = 0; M::gated && i < tile.size; ++i) {
      const Index t = head_.token(tile.first + i);
      if (!head_.padded(t)) s_.scalars.gate[t] += static_cast<double>(dot_row(dk_(i), head_.k(t), head_.D));
    }
    add_rows(dk_, head_.D, gradients_.dk, gradients_.filled_keys, tile, true, M::gated);
    add_rows(dv_, head_.E, gradients_.dv, gradients_.filled_values, tile, true);
  }

  /// The row tile against all column tiles of its chunk, its own first.
  void add_pairs(const Pieces& tiles, Index row_tile) {
    const Index n = tiles[row_tile].size, D = head_.D, E = head_.E;
    s_.query_columns.turn(s_.q, n, D, A(1));
    s_.slope_columns.turn(Tile<const A>(s_.dn), n, E, A(1));
    for_each_column<Direction, A>(head_, tiles, row_tile, s_.columns, [&](Index column_tile, double between) {
      const Index m = tiles[column_tile].size;
      s_.load_kv(head_, tiles[column_tile]);
      Products::set(s_.scores, m, n, D, plain(s_.k), s_.query_columns, &s_.ahead);  // q·k
      Products::set(s_.slopes, m, n, E, plain(s_.v), s_.slope_columns, &s_.ahead);  // dn·v
      if (column_tile == row_tile) {
        weigh_pairs(DiagonalMask<Direction, A, Decay>(s_.rows, head_.scale), tiles[row_tile], tiles[column_tile]);
      } else {
        const bool past = column_tile < row_tile;
        weigh_pairs(OuterMask<A, Decay>(past, s_.rows, s_.columns, between, head_.scale), tiles[row_tile],
                    tiles[column_tile]);
      }
      if (s_.fresh) dq_ = s_.dq;
      Products::add(dq_, n, D, m, transposed(s_.slopes), s_.k, s_.fresh ? Into<A>::set() : Into<A>{}, &s_.ahead);
      s_.fresh = false;
      if (!s_.pending) dk_ = s_.dk, dv_ = s_.dv;
      const Into<A> into = s_.pending ? Into<A>{} : Into<A>::set();
      Products::add(dk_, m, D, n, plain(s_.slopes), s_.q, into, &s_.ahead);
      Products::add(dv_, m, E, n, plain(s_.scores), s_.dn, into, &s_.ahead);
      s_.pending = true;
      add_keys(tiles[column_tile]);
    });
  }

  /// From q·k and dn·v to A and P, and the shares of a tile of pairs in the mask's gradients.
  template <class Mask>
  void weigh_pairs(const Mask& mask, Stretch rows, Stretch columns) {
    const A* dd = sums ? s_.dd : nullptr;
    s_.tally.start(rows, columns);
    s_.tally.weigh(mask, dd, s_.scores, s_.slopes);
    if constexpr (per_head) decay_sum_ += s_.tally.distances();
    if constexpr (per_token) {
      s_.tally.give(
          [&](Index i, A past, A future) {
            const Index t = head_.token(rows.first + i);
            s_.scalars.inner_e[t] += static_cast<double>(past);
            s_.scalars.inner_f[t] -= static_cast<double>(future);
          },
          [&](Index j, A past, A future) {
            const Index t = head_.token(columns.first + j);
            s_.scalars.inner_e[t] -= static_cast<double>(past);
            s_.scalars.inner_f[t] += static_cast<double>(future);
          });
    }
  }

  const Head<T, M>& head_;
  const UpstreamRows<T>& upstream_;
  GradientRows<A> gradients_;
  Scratch& s_;
  Tile<A> dq_, dk_, dv_;  // the tiles in work: scratch, or the rows themselves
  double decay_sum_ = 0;
  Anchors anchors_;
};

}  // namespace lion::cpu
