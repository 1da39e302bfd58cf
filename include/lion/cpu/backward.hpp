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
  A *q, *k, *v, *dn, *dd, *scaled, *scores, *slopes, *dq, *dk, *dv;
  State<A> keys, queries;
  MaskScalars<kind, M::gated> scalars;
  Index loaded = -1;

  BackwardScratch(Arena& arena, Index L, Index D, Index E)
      : rows(arena),
        columns(arena),
        q(arena.take<A>(kTile * D)),
        k(arena.take<A>(kTile * D)),
        v(arena.take<A>(kTile * E)),
        dn(arena.take<A>(kTile * E)),
        dd(arena.take<A>(kTile)),
        scaled(arena.take<A>(kTile * (D > E ? D : E))),
        scores(arena.take<A>(kTile * kTile)),
        slopes(arena.take<A>(kTile * kTile)),
        dq(arena.take<A>(kTile * D)),
        dk(arena.take<A>(kTile * D)),
        dv(arena.take<A>(kTile * E)),
        keys(arena, D, E),
        queries(arena, D, E),
        scalars(arena, L) {}

  void restart() {
    rows.restart();
    columns.restart();
    loaded = -1;
  }

  template <class Head>
  void load_kv(const Head& head, Stretch tile) {
    if (loaded == tile.first) return;
    loaded = tile.first;
    head.load_k(tile, k);
    head.load_v(tile, v);
  }
};

/// Adds one head's gradients along one order to `gradients`, and leaves the mask's in give(token, dℓ) and the scalars.
template <class T, class M, class Normaliser, class Direction>
class BackwardWalk {
 public:
  using A = accumulator_t<T>;
  using Scratch = BackwardScratch<A, M>;
  static constexpr bool sums = Normaliser::divides;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool collapses = !decays && Direction::past && Direction::future;

  BackwardWalk(const Head<T, M>& head, const UpstreamRows<T>& upstream, const GradientRows<A>& gradients,
               Scratch& scratch)
      : head_(head), upstream_(upstream), gradients_(gradients), s_(scratch) {
    s_.restart();
    s_.scalars.clear(head_);
  }

  void run_global(const IncomingBackward<A>& incoming) requires collapses {
    start<true>(incoming);
    if (incoming.keys.from_later) s_.keys.add(incoming.keys.from_later, head_.b, head_.h);
    if (incoming.queries.from_later) s_.queries.add(incoming.queries.from_later, head_.b, head_.h);
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    enter_tiles<true, true, true>(tiles);
    for (Index i = tiles.count; i-- > 0;) {
      begin(tiles[i]);
      look<true, true, false>(tiles[i], Edge<A>{}, 0.0, nullptr, nullptr, 1);
      end(tiles[i]);
    }
  }

  template <class Give>
  void run(Index chunk, const IncomingBackward<A>& incoming, Give&& give) {
    const Pieces chunks = Pieces::of(head_.sequence, chunk);
    // The states after the last token anchor the decays' gradients, where something comes in from later tokens.
    const bool anchored = decays && (incoming.keys.from_later || incoming.queries.from_later);
    double anchor_e = 0, anchor_f = 0;
    if (chunks.count > 1 || incoming.any()) {
      sweep<true>(chunks, incoming, false, anchored, [](Stretch) {});
      if (anchored) {
        if (Direction::past) anchor_e = s_.keys.inner(incoming.queries.from_later, head_.b, head_.h);
        if (Direction::future) anchor_f = s_.queries.inner(incoming.keys.from_later, head_.b, head_.h);
      }
    }
    DecayGradient<M::decay, M::gated> decay_gradient(s_.scalars, anchor_e, anchor_f);
    sweep<false>(chunks, incoming, true, false, [&](Stretch s) {
      if constexpr (decays) decay_gradient.chunk(head_, s, give);
    });
  }

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
  }

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
      double passed = 0;
      for (Index j = 0; j < tiles.count; ++j) {
        const Index place = left_to_right ? j : tiles.count - 1 - j;
        s_.rows.derive(head_, tiles[place]);
        begin(tiles[place]);
        double* dq_scalars = left_to_right ? s_.scalars.e : s_.scalars.f;
        double* dk_scalars = left_to_right ? s_.scalars.f : s_.scalars.e;
        look<keys, queries, decays>(tiles[place], left_to_right ? s_.rows.left() : s_.rows.right(), passed, dq_scalars,
                                    dk_scalars, left_to_right ? 1 : -1);
        passed += s_.rows.total();
        if (with_pairs) add_pairs(tiles, place);
        end(tiles[place]);
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
      const A across = static_cast<A>(std::exp(s_.rows.total()));
      s_.load_kv(head_, tile);
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
    head_.load_q(tile, s_.q);
    upstream_.load(head_, tile, s_.dn, s_.dd);
  }

  void begin(Stretch tile) {
    load_queries(tile);
    std::fill_n(s_.dq, tile.size * head_.D, A(0));
  }

  /// dq of a row tile is complete for this pass; it was kept without the scale s.
  void end(Stretch tile) {
    for (Index i = 0; i < tile.size; ++i) {
      add_row(s_.dq + i * head_.D, head_.D, head_.scale, gradients_.dq(head_.token(tile.first + i)));
    }
  }

  /// What the states give to a tile: dq from keys, dk and dv from queries; their shares of e and f with this sign.
  template <bool keys, bool queries, bool scalars>
  void look(Stretch tile, Edge<A> near, double passed, double* dq_scalars, double* dk_scalars, double sign) {
    const Index n = tile.size, D = head_.D, E = head_.E;
    const A factor = static_cast<A>(std::exp(passed));
    const auto weigh = [&](const A* weight, Index width, const A* from) {
      if (!weight) return from;
      for (Index i = 0; i < n; ++i) copy_row(from + i * width, width, factor * weight[i], s_.scaled + i * width);
      return static_cast<const A*>(s_.scaled);
    };
    if (keys && !s_.keys.zero) {
      const A* dn = weigh(near.from, E, s_.dn);
      add_product(matrix(s_.dq, n, D), matrix(dn, n, E), s_.keys.matrix().transpose());
      if constexpr (sums) {
        for (Index i = 0; i < n; ++i) {
          const A weight = near.from ? factor * near.from[i] : A(1);
          add_row(s_.keys.column, D, weight * s_.dd[i], s_.dq + i * D);
        }
      }
      if constexpr (scalars) add_dots(tile, s_.q, s_.dq, sign, dq_scalars);
    }
    if (queries && !s_.queries.zero) {
      s_.load_kv(head_, tile);
      set_product(matrix(s_.dk, n, D), matrix(weigh(near.to, E, s_.v), n, E), s_.queries.matrix().transpose());
      if constexpr (sums) {
        for (Index i = 0; i < n; ++i) {
          add_row(s_.queries.column, D, near.to ? factor * near.to[i] : A(1), s_.dk + i * D);
        }
      }
      set_product(matrix(s_.dv, n, E), matrix(weigh(near.to, D, s_.k), n, D), s_.queries.matrix());
      if constexpr (scalars) add_dots(tile, s_.k, s_.dk, sign, dk_scalars);
      add_keys(tile);
    }
  }

  void add_dots(Stretch tile, const A* x, const A* dx, double sign, double* to) const {
    const Index D = head_.D;
    for (Index i = 0; i < tile.size; ++i) {
      const auto dot = matrix(x + i * D, 1, D).row(0).dot(matrix(dx + i * D, 1, D).row(0));
      to[head_.token(tile.first + i)] += sign * static_cast<double>(dot);
    }
  }

  /// Adds the tiles dk̃ and dv to the rows of dk and dv, through the gate and past the padding.
  void add_keys(Stretch tile) {
    const Index D = head_.D, E = head_.E;
    for (Index i = 0; i < tile.size; ++i) {
      const Index t = head_.token(tile.first + i);
      if (head_.padded(t)) continue;
      if constexpr (M::gated) s_.scalars.gate[t] += static_cast<double>(dot_row(s_.dk + i * D, head_.k(t), D));
      add_row(s_.dk + i * D, D, head_.key_factor(t), gradients_.dk(t));
      add_row(s_.dv + i * E, E, A(1), gradients_.dv(t));
    }
  }

  /// The row tile against all column tiles of its chunk.
  void add_pairs(const Pieces& tiles, Index row_tile) {
    const Index n = tiles[row_tile].size, D = head_.D, E = head_.E;
    for_each_column<Direction, A>(head_, tiles, row_tile, s_.columns, [&](Index column_tile, double between) {
      const Index m = tiles[column_tile].size;
      s_.load_kv(head_, tiles[column_tile]);
      Matrix<A> scores = matrix(s_.scores, n, m, kTile);  // S, then A = S ⊙ M
      Matrix<A> slopes = matrix(s_.slopes, n, m, kTile);  // (dn'·v') ⊙ M, P without its scale
      set_product(scores, matrix(s_.q, n, D), matrix(s_.k, m, D).transpose());
      set_product(slopes, matrix(s_.dn, n, E), matrix(s_.v, m, E).transpose());
      if constexpr (sums) slopes.colwise() += Vector<A>(s_.dd, n).matrix();
      const auto apply = [&](A* x) {
        if (column_tile == row_tile) {
          mask_diagonal<Direction, A>(s_.rows, n, x);
        } else {
          mask_outer(OuterMask<A, TileDecay<A, M::decay>>(column_tile < row_tile, s_.rows, s_.columns, between), n, m,
                     x);
        }
      };
      apply(s_.slopes);
      if constexpr (decays) add_pair_scalars(tiles[row_tile], tiles[column_tile]);
      apply(s_.scores);
      add_product(matrix(s_.dq, n, D), slopes, matrix(s_.k, m, D));
      set_product(matrix(s_.dk, m, D), slopes.transpose(), matrix(s_.q, n, D));
      set_product(matrix(s_.dv, m, E), scores.transpose(), matrix(s_.dn, n, E));
      add_keys(tiles[column_tile]);
    });
  }

  /// The shares of pairs in e and f: w_ij = P_ij q_i·k_j, summed over rows and columns of each triangle.
  void add_pair_scalars(Stretch rows, Stretch columns) {
    const MaskScalars<M::decay, M::gated>& s = s_.scalars;
    const Index n = rows.size, m = columns.size;
    const bool diagonal = rows.first == columns.first;
    double past_columns[kTile] = {}, future_columns[kTile] = {};
    for (Index i = 0; i < n; ++i) {
      const A *scores = s_.scores + i * kTile, *slopes = s_.slopes + i * kTile;
      const Index past = diagonal ? i : (columns.first < rows.first ? m : 0);        // columns before this are earlier
      const Index future = diagonal ? i + 1 : (columns.first < rows.first ? m : 0);  // from here on later
      double past_row = 0, future_row = 0;
      for (Index j = 0; j < past; ++j) {
        const double w = static_cast<double>(scores[j] * slopes[j]);
        past_row += w;
        past_columns[j] += w;
      }
      for (Index j = future; j < m; ++j) {
        const double w = static_cast<double>(scores[j] * slopes[j]);
        future_row += w;
        future_columns[j] += w;
      }
      const Index t = head_.token(rows.first + i);
      s.inner_e[t] += past_row;
      s.inner_f[t] -= future_row;
    }
    for (Index j = 0; j < m; ++j) {
      const Index t = head_.token(columns.first + j);
      s.inner_e[t] -= past_columns[j];
      s.inner_f[t] += future_columns[j];
    }
  }

  const Head<T, M>& head_;
  const UpstreamRows<T>& upstream_;
  const GradientRows<A>& gradients_;
  Scratch& s_;
};

}  // namespace lion::cpu
