#pragma once
/// Gradients of one head along one order, in tiles: the chunk form, and the full form as one chunk (math.md §4).

#include "lion/cpu/gradient_rows.hpp"
#include "lion/cpu/pairs.hpp"
#include "lion/cpu/state.hpp"

namespace lion::cpu {

template <class A, class M>
struct BackwardScratch {
  static constexpr mask::DecayKind kind = M::decay;
  TileDecay<A, kind> rows, columns;
  Tile<A> q, k, v, dn;     // [kTile, D] or [kTile, E]
  A* dd;                   // [kTile]
  Tile<A> scaled;          // [kTile, D or E]
  Tile<A> columns_of;      // [D or E, kTile or D]: a transpose
  Tile<A> scores, slopes;  // [kTile, kTile]
  Tile<A> dq, dk, dv;      // [kTile, D] or [kTile, E]
  State<A> keys, queries;
  State<A> crossed;  // of keys, with one decay per head
  A* counts = nullptr;
  MaskScalars<kind, M::gated> scalars;
  Index loaded = -1, loaded_queries = -1;  // first positions of the tiles in k and v, and in q and dn

  BackwardScratch(Arena& arena, Index L, Index D, Index E)
      : rows(arena),
        columns(arena),
        q(take_tile<A>(arena, kTile, D)),
        k(take_tile<A>(arena, kTile, D)),
        v(take_tile<A>(arena, kTile, E)),
        dn(take_tile<A>(arena, kTile, E)),
        dd(arena.take<A>(kTile)),
        scaled(take_tile<A>(arena, kTile, (std::max)(D, E))),
        columns_of(take_tile<A>(arena, (std::max)(D, E), (std::max)(kTile, D))),
        scores(take_tile<A>(arena, kTile, kTile)),
        slopes(take_tile<A>(arena, kTile, kTile)),
        dq(take_tile<A>(arena, kTile, D)),
        dk(take_tile<A>(arena, kTile, D)),
        dv(take_tile<A>(arena, kTile, E)),
        keys(arena, D, E),
        queries(arena, D, E),
        scalars(arena, L) {
    if constexpr (kind == mask::DecayKind::per_head) {
      crossed = State<A>(arena, D, E);
      counts = arena.take<A>(kTile);
    }
  }

  void restart() {
    rows.restart();
    columns.restart();
    loaded = loaded_queries = -1;
  }

  template <class Head>
  void load_kv(const Head& head, Stretch tile) {
    if (loaded == tile.first) return;
    loaded = tile.first;
    head.load_k(tile, k);
    head.load_v(tile, v);
  }
};

/// Adds one head's gradients along one order to `gradients`. A mask's own come by give(token, dℓ) with one decay per
/// token, in `decay_sum()` with one per head, and in the scratch's scalars for a gate.
template <class T, class M, class Normaliser, class Direction>
class BackwardWalk {
 public:
  using A = accumulator_t<T>;
  using Scratch = BackwardScratch<A, M>;
  static constexpr bool sums = Normaliser::divides;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool per_token = M::decay == mask::DecayKind::per_token;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;
  static constexpr bool collapses = !decays && Direction::past && Direction::future;

  BackwardWalk(const Head<T, M>& head, const UpstreamRows<T>& upstream, const GradientRows<A>& gradients,
               Scratch& scratch)
      : head_(head), upstream_(upstream), gradients_(gradients), s_(scratch) {
    s_.restart();
    s_.scalars.clear(head_);
  }

  void run_global(const IncomingBackward<A>& incoming)
    requires collapses
  {
    start<true>(incoming);
    if (incoming.keys.from_later) s_.keys.add(incoming.keys.from_later, head_.b, head_.h);
    if (incoming.queries.from_later) s_.queries.add(incoming.queries.from_later, head_.b, head_.h);
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    enter_tiles<true, true, true>(tiles);
    for (Index i = tiles.count; i-- > 0;) {
      begin(tiles[i]);
      look<true, true, true>(tiles[i], Edge<A>{}, {});
      end(tiles[i]);
    }
  }

  template <class Give>
  void run(Index chunk, const IncomingBackward<A>& incoming, Give&& give) {
    const Pieces chunks = Pieces::of(head_.sequence, chunk);
    // Tokens after a segment pair with what it leaves behind at its right edge, tokens before it at its left.
    const bool to_the_end = decays && (incoming.keys.from_later || incoming.queries.from_later);
    double anchor_e = 0, anchor_f = 0;
    if (chunks.count > 1 || incoming.any()) {
      sweep<true>(chunks, incoming, false, to_the_end, [](Stretch) {});
      if constexpr (per_token) {
        // A direction that is not looked in hands nothing over, whatever the caller passes on.
        if (Direction::past) anchor_e = s_.keys.inner(incoming.queries.from_later, head_.b, head_.h);
        if (Direction::future) anchor_f = s_.queries.inner(incoming.keys.from_later, head_.b, head_.h);
      }
      if constexpr (per_head) decay_sum_ += s_.crossed.inner(incoming.queries.from_later, head_.b, head_.h);
    }
    DecayGradient<M::decay, M::gated> decay_gradient(s_.scalars, anchor_e, anchor_f);
    sweep<false>(chunks, incoming, true, per_head && incoming.queries.from_earlier, [&](Stretch s) {
      if constexpr (per_token) decay_gradient.chunk(head_, s, give);
    });
    if constexpr (per_head) decay_sum_ += s_.crossed.inner(incoming.queries.from_earlier, head_.b, head_.h);
  }

  /// dℓ of the head over this sequence, with one decay per head.
  double decay_sum() const { return decay_sum_; }

  /// What the sequence's queries hand to keys after it (left to right: T) or before it (R), in the scratch's state.
  template <bool left_to_right>
  void summarise() {
    s_.queries.start({}, head_.b, head_.h);
    enter_tiles<left_to_right, false, true>(Pieces::even(head_.sequence, kTile));
  }

 private:
  template <bool left_to_right>
  void start(const IncomingBackward<A>& incoming) {
    s_.keys.start(left_to_right ? incoming.keys.from_earlier : incoming.keys.from_later, head_.b, head_.h);
    s_.queries.start(left_to_right ? incoming.queries.from_earlier : incoming.queries.from_later, head_.b, head_.h);
    if constexpr (per_head) s_.crossed.start({}, head_.b, head_.h);
  }

  /// Where a tile lies in its sweep: log of the decay, and tokens, between its chunk's near edge and the tile.
  struct Place {
    double passed = 0;
    Index tokens = 0;
  };

  /// Left to right carries F and T, right to left G and R: keys serve the queries after them, and queries the keys.
  template <bool left_to_right, class EndChunk>
  void sweep(const Pieces& chunks, const IncomingBackward<A>& incoming, bool with_pairs, bool to_the_end,
             EndChunk&& end_chunk) {
    constexpr bool keys = left_to_right ? Direction::past : Direction::future;
    constexpr bool queries = left_to_right ? Direction::future : Direction::past;
    start<left_to_right>(incoming);
    for (Index i = 0; i < chunks.count; ++i) {
      const Stretch chunk = chunks[left_to_right ? i : chunks.count - 1 - i];
      const Pieces tiles = Pieces::even(chunk, kTile);
      Place place;
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
      end_chunk(chunk);
    }
  }

  template <bool left_to_right, bool keys, bool queries>
  void enter_tiles(const Pieces& tiles) {
    for (Index j = 0; j < tiles.count; ++j) {
      const Stretch tile = tiles[left_to_right ? j : tiles.count - 1 - j];
      s_.rows.derive(head_, tile);
      const Edge<A> far = left_to_right ? s_.rows.right() : s_.rows.left();
      const Fade<A> across = Fade<A>::by(s_.rows.total());
      s_.load_kv(head_, tile);
      if constexpr (keys && per_head) {
        enter_crossed<sums, left_to_right>(s_.crossed, s_.keys, across, s_.k, s_.v, far.to, tile.size, s_.counts,
                                           s_.scaled);
      }
      if constexpr (keys) {
        enter<sums>(s_.keys, across, s_.k, s_.v, static_cast<const A*>(nullptr), far.to, tile.size, s_.scaled);
      }
      if constexpr (queries) {
        load_queries(tile);
        enter<sums>(s_.queries, across, s_.q, s_.dn, s_.dd, far.from, tile.size, s_.scaled);
      }
    }
  }

  void load_queries(Stretch tile) {
    if (s_.loaded_queries == tile.first) return;
    s_.loaded_queries = tile.first;
    head_.load_q(tile, s_.q);
    upstream_.load(head_, tile, s_.dn, s_.dd);
  }

  void begin(Stretch tile) {
    load_queries(tile);
    clear_rows(s_.dq, tile.size);
  }

  /// dq of a row tile is complete for this pass; it was kept without the scale s.
  void end(Stretch tile) {
    for (Index i = 0; i < tile.size; ++i) {
      add_row(s_.dq(i), head_.D, head_.scale, gradients_.dq(head_.token(tile.first + i)));
    }
  }

  /// What the states give to a tile: dq from keys, dk and dv from queries; and their shares of the mask's gradients.
  template <bool keys, bool queries, bool left_to_right>
  void look(Stretch tile, Edge<A> near, const Place& place) {
    const Index n = tile.size, D = head_.D, E = head_.E;
    const A factor = static_cast<A>(std::exp(place.passed));
    const auto weigh = [&](const A* weight, Tile<A> from) {
      if (!weight) return from;
      const Tile<A> to{s_.scaled.data, from.stride};
      weigh_rows(from, n, weight, factor, to);
      return to;
    };
    const auto add_last = [&](const State<A>& state, Tile<A> to) {  // the denominators' column
      for (Index i = 0; i < n; ++i) {
        const A weight = near.from ? factor * near.from[i] : A(1);
        add_row(state.column, D, weight * s_.dd[i], to(i));
      }
    };
    if (keys && !s_.keys.zero) {
      const Tile<A> dn = weigh(near.from, s_.dn);
      transpose_tile(s_.keys.body, D, E, s_.columns_of);
      add_tile_product(s_.dq, n, D, E, plain(dn), s_.columns_of);
      if constexpr (sums) add_last(s_.keys, s_.dq);
      if constexpr (per_token) add_dots(tile, s_.q, s_.dq, left_to_right, left_to_right ? s_.scalars.e : s_.scalars.f);
      if constexpr (per_head) {
        for (Index i = 0; i < n; ++i) {
          const Index apart = place.tokens + (left_to_right ? i : n - 1 - i);
          decay_sum_ += static_cast<double>(apart) * static_cast<double>(dot(s_.q(i), s_.dq(i), s_.q.stride));
        }
        if (!s_.crossed.zero) {
          transpose_tile(s_.crossed.body, D, E, s_.columns_of);
          set_tile_product(s_.dk, n, D, E, plain(dn), s_.columns_of);
          if constexpr (sums) add_last(s_.crossed, s_.dk);
          for (Index i = 0; i < n; ++i) decay_sum_ += static_cast<double>(dot(s_.q(i), s_.dk(i), s_.q.stride));
        }
      }
    }
    if (queries && !s_.queries.zero) {
      s_.load_kv(head_, tile);
      transpose_tile(s_.queries.body, D, E, s_.columns_of);
      set_tile_product(s_.dk, n, D, E, plain(weigh(near.to, s_.v)), s_.columns_of);
      if constexpr (sums) {
        for (Index i = 0; i < n; ++i) add_row(s_.queries.column, D, near.to ? factor * near.to[i] : A(1), s_.dk(i));
      }
      set_tile_product(s_.dv, n, E, D, plain(weigh(near.to, s_.k)), s_.queries.body);
      if constexpr (per_token) add_dots(tile, s_.k, s_.dk, left_to_right, left_to_right ? s_.scalars.f : s_.scalars.e);
      add_keys(tile);
    }
  }

  void add_dots(Stretch tile, Tile<A> x, Tile<A> dx, bool plus, double* to) const {
    const double sign = plus ? 1 : -1;
    for (Index i = 0; i < tile.size; ++i) {
      to[head_.token(tile.first + i)] += sign * static_cast<double>(dot(x(i), dx(i), x.stride));
    }
  }

  /// Adds the tiles dk̃ and dv to the rows of dk and dv, through the gate and past the padding.
  void add_keys(Stretch tile) {
    const Index D = head_.D, E = head_.E;
    for (Index i = 0; i < tile.size; ++i) {
      const Index t = head_.token(tile.first + i);
      if (head_.padded(t)) continue;
      if constexpr (M::gated) s_.scalars.gate[t] += static_cast<double>(dot_row(s_.dk(i), head_.k(t), D));
      add_row(s_.dk(i), D, head_.key_factor(t), gradients_.dk(t));
      add_row(s_.dv(i), E, A(1), gradients_.dv(t));
    }
  }

  /// The row tile against all column tiles of its chunk.
  void add_pairs(const Pieces& tiles, Index row_tile) {
    const Index n = tiles[row_tile].size, D = head_.D, E = head_.E;
    for_each_column<Direction, A>(head_, tiles, row_tile, s_.columns, [&](Index column_tile, double between) {
      const Index m = tiles[column_tile].size;
      s_.load_kv(head_, tiles[column_tile]);
      transpose_tile(s_.k, m, D, s_.columns_of);
      set_tile_product(s_.scores, n, m, D, plain(s_.q), s_.columns_of);  // S, then A = S ⊙ M
      transpose_tile(s_.v, m, E, s_.columns_of);
      set_tile_product(s_.slopes, n, m, E, plain(s_.dn), s_.columns_of);  // (dn'·v') ⊙ M, P without its scale
      if constexpr (sums) {
        for (Index i = 0; i < n; ++i) Vector<A>(s_.slopes(i), m) += s_.dd[i];
      }
      const auto apply = [&](Tile<A> x) {
        if (column_tile == row_tile) {
          mask_diagonal<Direction, A>(s_.rows, n, x);
        } else {
          mask_outer(OuterMask<A, TileDecay<A, M::decay>>(column_tile < row_tile, s_.rows, s_.columns, between), n, m,
                     x);
        }
      };
      apply(s_.slopes);
      if constexpr (per_head) add_distances(tiles[row_tile], tiles[column_tile]);
      if constexpr (per_token) add_pair_scalars(tiles[row_tile], tiles[column_tile]);
      apply(s_.scores);
      add_tile_product(s_.dq, n, D, m, plain(s_.slopes), s_.k);
      set_tile_product(s_.dk, m, D, n, transposed(s_.slopes), s_.q);
      set_tile_product(s_.dv, m, E, n, transposed(s_.scores), s_.dn);
      add_keys(tiles[column_tile]);
    });
  }

  /// Σ |i−j| w_ij over a tile of pairs, w_ij = P_ij q_i·k_j.
  void add_distances(Stretch rows, Stretch columns) {
    for (Index i = 0; i < rows.size; ++i) {
      const A *scores = s_.scores(i), *slopes = s_.slopes(i);
      const Index ahead = rows.first + i - columns.first;  // of column 0
      A sum = 0;
      for (Index j = 0; j < columns.size; ++j) sum += static_cast<A>(std::abs(ahead - j)) * (scores[j] * slopes[j]);
      decay_sum_ += static_cast<double>(sum);
    }
  }

  /// The shares of a tile of pairs in e and f: w_ij summed over rows and columns of each triangle.
  void add_pair_scalars(Stretch rows, Stretch columns) {
    const MaskScalars<M::decay, M::gated>& s = s_.scalars;
    const Index n = rows.size, m = columns.size;
    const bool diagonal = rows.first == columns.first, earlier = columns.first < rows.first;
    A past_columns[kTile] = {}, future_columns[kTile] = {};
    for (Index i = 0; i < n; ++i) {
      const A *scores = s_.scores(i), *slopes = s_.slopes(i);
      const Index past = diagonal ? i : (earlier ? m : 0);        // columns before this are earlier tokens
      const Index future = diagonal ? i + 1 : (earlier ? m : 0);  // from here on later ones
      const Index t = head_.token(rows.first + i);
      s.inner_e[t] += static_cast<double>(add_products(scores, slopes, past, past_columns));
      s.inner_f[t] -=
          static_cast<double>(add_products(scores + future, slopes + future, m - future, future_columns + future));
    }
    for (Index j = 0; j < m; ++j) {
      const Index t = head_.token(columns.first + j);
      s.inner_e[t] -= static_cast<double>(past_columns[j]);
      s.inner_f[t] += static_cast<double>(future_columns[j]);
    }
  }

  const Head<T, M>& head_;
  const UpstreamRows<T>& upstream_;
  const GradientRows<A>& gradients_;
  Scratch& s_;
  double decay_sum_ = 0;
};

}  // namespace lion::cpu
