#pragma once
/// n' of one head along one order, in tiles: the chunk form, and the full form as one chunk (math.md §1, §3).

#include "lion/cpu/bfloat16_product.hpp"
#include "lion/cpu/halves.hpp"
#include "lion/cpu/pairs.hpp"
#include "lion/cpu/row_sums.hpp"
#include "lion/cpu/state.hpp"
#include "lion/form/cost.hpp"

namespace lion::cpu {

/// Tiles of a forward pass. One per lane; the size depends on D, E and the mask's kind alone.
template <class A, mask::DecayKind kind, class Products>
struct ForwardScratch {
  using Row = typename Products::Row;
  TileDecay<A, kind> rows, columns;
  Tile<Row> copy_q, copy_k, copy_v;         // [kTile, D or E], of rows that cannot be used where they lie
  typename Products::Turned query_columns;  // [D, kTile], s·qᵀ
  Tile<A> scaled, scores;                   // [kTile, D], [kTile, kTile]: Aᵀ, a row for each key
  A *weights, *sums;                        // [kTile], of queries
  State<A> state;
  Tile<const Row> q, k, v;  // the tiles in work
  Index loaded = -1;        // first position of the tile in k and v
  Ahead ahead;

  ForwardScratch(Arena& arena, Index D, Index E)
      : rows(arena),
        columns(arena),
        copy_q(take_tile<Row>(arena, kTile, D)),
        copy_k(take_tile<Row>(arena, kTile, D)),
        copy_v(take_tile<Row>(arena, kTile, E)),
        query_columns(arena, D, kTile),
        scaled(take_tile<A>(arena, kTile, D)),
        scores(take_tile<A>(arena, kTile, kTile)),
        weights(arena.take<A>(kTile)),
        sums(arena.take<A>(kTile)),
        state(arena, D, E) {}

  void restart() {
    rows.restart();
    columns.restart();
    loaded = -1;
  }

  template <class Head>
  void load_kv(const Head& head, Stretch tile) {
    if (loaded == tile.first) return;
    loaded = tile.first;
    k = head.load_k(tile, copy_k);
    v = head.load_v(tile, copy_v);
  }
};

/// The sums of one head along one order, into `rows`.
template <class T, class M, class Normaliser, class Direction, class Finish>
class ForwardWalk {
 public:
  using A = accumulator_t<T>;
  using Products = TileProducts<T>;
  using Scratch = ForwardScratch<A, M::decay, Products>;
  static constexpr bool collapses = M::decay == mask::DecayKind::none && Direction::past && Direction::future;

  ForwardWalk(const Head<T, M>& head, RowSums<A, Finish>& rows, Scratch& scratch)
      : head_(head), rows_(rows), s_(scratch) {
    s_.restart();
  }

  /// One global state: for a mask without decay that is all there is (math.md §3, linear).
  void run_global(const Incoming<A>& incoming)
    requires collapses
  {
    start_global(incoming);
    enter_tiles<true>(Pieces::even(head_.sequence, kTile));
    look_globally();
  }

  /// Pairs inside chunks, states across. `outgoing`, if present, receives the forward state after the last token.
  void run(Index chunk, const Incoming<A>& incoming, const View<A, 4>& outgoing = {}) {
    const Pieces chunks = Pieces::of(head_.sequence, chunk);
    if constexpr (Direction::past) {
      const bool alone = !Direction::future;
      if (alone || chunks.count > 1 || incoming.any()) sweep<true>(chunks, incoming.from_earlier, alone, outgoing);
    }
    if constexpr (Direction::future) sweep<false>(chunks, incoming.from_later, true, {});
  }

  /// One of the two passes over a half of a sequence; `of_earlier` and `of_later` are the states that the halves leave
  /// in its middle.
  void pass(HalfPass half, const form::Plan& plan, const Incoming<A>& incoming, const View<A, 4>& of_earlier,
            const View<A, 4>& of_later) {
    const View<A, 4>& to = half.later ? of_later : of_earlier;
    if constexpr (collapses) {
      if (plan.global) {
        start_global(half.global<A>(incoming, of_earlier, of_later));
        if (half.outwards) return look_globally();
        enter_tiles<true>(Pieces::even(head_.sequence, kTile));
        return s_.state.store(to, head_.b, head_.h);
      }
    }
    const Pieces chunks = Pieces::of(head_.sequence, plan.chunk);
    if (half.outwards) {
      half.later ? sweep<true>(chunks, of_earlier, true, {}) : sweep<false>(chunks, of_later, true, {});
    } else {
      half.later ? sweep<false>(chunks, incoming.from_later, false, to)
                 : sweep<true>(chunks, incoming.from_earlier, false, to);
    }
  }

  /// What the sequence hands to the tokens after it (U, left to right) or before it (W), in the scratch's state.
  template <bool left_to_right>
  void summarise(const View<const A, 4>& incoming) {
    s_.state.start(incoming, head_.b, head_.h);
    enter_tiles<left_to_right>(Pieces::even(head_.sequence, kTile));
  }

 private:
  void start_global(const Incoming<A>& incoming) {
    s_.state.start(incoming.from_earlier, head_.b, head_.h);
    if (incoming.from_later) s_.state.add(incoming.from_later, head_.b, head_.h);
  }

  void look_globally() {
    const typename Products::Scope scope;
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = tiles.count; i-- > 0;) {
      want_rows(i > 0 ? tiles[i - 1] : Stretch{});
      begin(tiles[i]);
      look(tiles[i].size, Edge<A>{}, 0.0);
      rows_.end(head_, tiles[i], true);
    }
    rows_.keep();
  }

  template <bool left_to_right>
  void sweep(const Pieces& chunks, const View<const A, 4>& incoming, bool with_pairs, const View<A, 4>& outgoing) {
    const typename Products::Scope scope;
    s_.state.start(incoming, head_.b, head_.h);
    for (Index i = 0; i < chunks.count; ++i) {
      const Pieces tiles = Pieces::even(chunks[left_to_right ? i : chunks.count - 1 - i], kTile);
      double passed = 0;  // log of the decay between the chunk's near edge and the tile
      if (tiles.count == 1) {
        const Stretch next = i + 1 < chunks.count ? chunks[left_to_right ? i + 1 : chunks.count - 2 - i] : Stretch{};
        want_rows(next);
        head_.want_kv(next, s_.ahead);
      }
      for (Index j = 0; j < tiles.count; ++j) {
        const Index place = left_to_right ? j : tiles.count - 1 - j;
        s_.rows.derive(head_, tiles[place]);
        begin(tiles[place]);
        look(tiles[place].size, left_to_right ? s_.rows.left() : s_.rows.right(), passed);
        passed += s_.rows.total();
        if (with_pairs) add_pairs(tiles, place);
        rows_.end(head_, tiles[place], with_pairs);
      }
      if (i + 1 < chunks.count || outgoing) enter_tiles<left_to_right>(tiles);
    }
    if (outgoing) s_.state.store(outgoing, head_.b, head_.h);
    rows_.keep();
  }

  template <bool left_to_right>
  void enter_tiles(const Pieces& tiles) {
    const typename Products::Scope scope;
    for (Index j = 0; j < tiles.count; ++j) {
      const Stretch tile = tiles[left_to_right ? j : tiles.count - 1 - j];
      if (tiles.count > 1) {
        s_.ahead.forget();
        if (j + 1 < tiles.count) head_.want_kv(tiles[left_to_right ? j + 1 : tiles.count - 2 - j], s_.ahead);
      }
      s_.load_kv(head_, tile);
      s_.rows.derive(head_, tile);
      const Edge<A> far = left_to_right ? s_.rows.right() : s_.rows.left();
      enter<Products, sums>(s_.state, Fade<A>::by(s_.rows.total()), s_.k, s_.v, static_cast<const A*>(nullptr), far.to,
                            tile.size, s_.scaled, &s_.ahead);
    }
  }

  /// Asks for the rows of a tile to come: q, and the sums that wait.
  void want_rows(Stretch next) {
    s_.ahead.forget();
    head_.want_q(next, s_.ahead);
    head_.want(rows_.waiting_n, next, head_.E, s_.ahead);
  }

  void begin(Stretch tile) {
    s_.q = head_.load_q(tile, s_.copy_q);
    rows_.begin(head_, tile);
  }

  /// n' += e^passed · from_i · s q_iᵀ S for the rows of a tile.
  void look(Index n, Edge<A> near, double passed) {
    if (s_.state.zero) return;
    const A factor = head_.scale * static_cast<A>(std::exp(passed));
    for (Index i = 0; i < n; ++i) s_.weights[i] = near.from ? factor * near.from[i] : factor;
    Products::add(rows_.n, n, head_.E, head_.D, plain(s_.q), s_.state.body, rows_.next(s_.weights), &s_.ahead);
    if constexpr (sums) {
      dot_rows<A>(
          s_.q, [&](Index) { return s_.state.column; }, n, head_.D,
          [&](Index i, A value) { rows_.d[i] += s_.weights[i] * value; });
    }
  }

  /// n'_i += Σ_j A_ij v'_j for the rows of the row tile over all tiles of its chunk. Scores are made transposed: so it
  /// is the queries, once a row tile, that are turned about and not the keys of each pair of tiles.
  void add_pairs(const Pieces& tiles, Index row_tile) {
    const Index n = tiles[row_tile].size, D = head_.D;
    s_.query_columns.turn(s_.q, n, D, head_.scale);
    for_each_column<Direction, A>(head_, tiles, row_tile, s_.columns, [&](Index column_tile, double between) {
      const Index m = tiles[column_tile].size;
      s_.load_kv(head_, tiles[column_tile]);
      Products::set(s_.scores, m, n, D, plain(s_.k), s_.query_columns, &s_.ahead);
      A* row_sums = sums ? s_.sums : nullptr;
      if (column_tile == row_tile) {
        mask_scores(DiagonalMask<Direction, A, Decay>(s_.rows, A(1)), n, m, s_.scores, row_sums);
      } else {
        mask_scores(OuterMask<A, Decay>(column_tile < row_tile, s_.rows, s_.columns, between, A(1)), n, m, s_.scores,
                    row_sums);
      }
      if constexpr (sums) {
        for (Index i = 0; i < n; ++i) rows_.d[i] += s_.sums[i];
      }
      Products::add(rows_.n, n, head_.E, m, transposed(s_.scores), s_.v, rows_.next(), &s_.ahead);
    });
  }

  using Decay = TileDecay<A, M::decay>;
  static constexpr bool sums = Normaliser::divides;
  const Head<T, M>& head_;
  RowSums<A, Finish>& rows_;
  Scratch& s_;
};

}  // namespace lion::cpu
