#pragma once
/// The recurrent form: two sweeps, one token at a time (math.md §2). Rows are fetched a tile at a time.

#include "lion/cpu/row_sums.hpp"
#include "lion/cpu/state.hpp"
#include "lion/cpu/tile_decay.hpp"

namespace lion::cpu {

/// n += Sᵀq, then S = λ S + k vᵀ: one pass over the state, W columns at a time in registers.
template <Index W, class A>
void step_columns(State<A>& state, Index first, Index width, A lambda, const A* q, const A* k, const A* v, A* n) {
  using Block = Eigen::Array<A, W == 0 ? Eigen::Dynamic : W, 1, 0, W == 0 ? 16 : W, 1>;
  const Eigen::Map<const Block> value(v + first, width);
  Eigen::Map<Block> sum(n + first, width);
  Block total = sum, column = value;
  for (Index d = 0; d < state.D; ++d) {
    Eigen::Map<Block> row(state.body + d * state.E + first, width);
    const Block entry = row;
    total += q[d] * entry;
    row = lambda * entry + k[d] * column;
  }
  sum = total;
}

template <bool with_column, class A>
void step(State<A>& state, A lambda, const A* q, const A* k, const A* v, A* n, A* d) {
  constexpr Index W = 16;
  Index first = 0;
  for (; first + W <= state.E; first += W) step_columns<W>(state, first, W, lambda, q, k, v, n);
  if (first < state.E) step_columns<0>(state, first, state.E - first, lambda, q, k, v, n);
  if constexpr (with_column) {
    const Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>> query(q, state.D), key(k, state.D);
    *d += (query * state.last()).sum();
    state.last() = lambda * state.last() + key;
  }
  state.zero = false;
}

template <class A, mask::DecayKind kind>
struct RnnScratch {
  A *q, *k, *v, *lambda;
  State<A> state;

  RnnScratch(Arena& arena, Index D, Index E)
      : q(arena.take<A>(kTile * D)),
        k(arena.take<A>(kTile * D)),
        v(arena.take<A>(kTile * E)),
        lambda(arena.take<A>(kTile)),
        state(arena, D, E) {}

  /// Rows of a tile, and λ of each token.
  template <class Head>
  void load(const Head& head, Stretch tile) {
    head.load_q(tile, q);
    head.load_k(tile, k);
    head.load_v(tile, v);
    for (Index i = 0; i < tile.size; ++i) {
      lambda[i] = static_cast<A>(std::exp(head.log_decay(head.token(tile.first + i))));
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
  void run_global(const Incoming<A>& incoming) requires collapses {
    s_.state.start(incoming.from_earlier, head_.b, head_.h);
    if (incoming.from_later) s_.state.add(incoming.from_later, head_.b, head_.h);
    const Pieces tiles = Pieces::even(head_.sequence, kTile);
    for (Index i = 0; i < tiles.count; ++i) {
      const Index n = tiles[i].size, D = head_.D, E = head_.E;
      s_.load(head_, tiles[i]);
      for (Index j = 0; j < n; ++j) {
        for (Index d = 0; d < D; ++d) add_row(s_.v + j * E, E, s_.k[j * D + d], s_.state.body + d * E);
        if constexpr (sums) add_row(s_.k + j * D, D, A(1), s_.state.column);
      }
    }
    for (Index i = tiles.count; i-- > 0;) {
      const Index n = tiles[i].size, D = head_.D, E = head_.E;
      head_.load_q(tiles[i], s_.q);
      rows_.begin(head_, tiles[i]);
      for (Index j = 0; j < n; ++j) {
        for (Index d = 0; d < D; ++d) add_row(s_.state.body + d * E, E, s_.q[j * D + d], rows_.n + j * E);
        if constexpr (sums) rows_.d[j] += matrix(s_.q + j * D, 1, D).row(0).dot(s_.state.last().matrix());
      }
      rows_.end(head_, tiles[i], true);
    }
    rows_.keep();
  }

 private:
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
      for (Index j = 0; j < tile.size; ++j) {
        const Index at = left_to_right ? j : tile.size - 1 - j;
        A *q = s_.q + at * D, *k = s_.k + at * D, *v = s_.v + at * E;
        if (own) {
          const A score = Vector<A>(q, D).matrix().dot(Vector<A>(k, D).matrix());
          add_row(v, E, score, rows_.n + at * E);
          rows_.d[at] += score;
        }
        if constexpr (M::decay != mask::DecayKind::none) Vector<A>(k, D) *= s_.lambda[at];
        step<sums>(s_.state, s_.lambda[at], q, k, v, rows_.n + at * E, rows_.d + at);
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
