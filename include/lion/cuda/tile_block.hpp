#pragma once
/// A block of threads at work on a tile of tokens: where it is, and the one walk of the kernels of y (cuda/output.hpp),
/// of dq (cuda/query_gradient.hpp) and of dk and dv (cuda/key_gradient.hpp) over all that the tile sees (math.md §3,
/// §4).

#include <type_traits>

#include "lion/cuda/chunk_states.hpp"
#include "lion/cuda/chunk_tiles.hpp"
#include "lion/cuda/tile_decay.hpp"

namespace lion::cuda {

/// `Self` derives from it and has, for query i and key j of a pair of tiles,
///   load(stretch)                           brings the tile of the other side into shared memory
///   add_pairs(mask(i, j), distance(i, j))   mask is M_ij, distance how far the query lies after the key
///   look(states, slot, weight(·), past)     weight is that of the block's own tokens
/// Its Shared has room for two states where they come ahead, `states`.
/// Kernel::own_queries: its own tokens are the queries, the others the keys; or the other way round.
template <class Self, class Kernel, class Dev>
struct TileBlock {
  using T = typename Kernel::T;
  using A = accumulator_t<T>;
  using Dir = typename Kernel::Direction;
  static constexpr int W = Kernel::kWidth;
  static constexpr bool decays = Kernel::decays, own_queries = Kernel::own_queries;

  const Dev& dev;
  const typename Kernel::Parameters& p;
  Index b, g, h;  ///< g: the head of q and k, h: of v
  ChunkTiles<A, kTileRows<T>> tiles;
  Stretch own;
  SharedArena arena;
  typename Kernel::Shared shared;
  int strip;  ///< the warp's first token of the tile
  int row;    ///< the lane's first; its second is 8 further

  LION_DEVICE TileBlock(const Dev& dev_, const typename Kernel::Parameters& p_)
      : dev(dev_),
        p(p_),
        b(dev.block(2)),
        g(0),
        h(0),
        tiles(p.walk.sequences, dev.block(0), p.chunk),
        own(tiles.stretch(tiles.tile)),
        arena(dev.shared()),
        shared(arena),
        strip(dev.warp() % (kTileRows<T> / kStripRows) * kStripRows),
        row(strip + Strip<A, 8>::row(dev.lane(), 0)) {}

  LION_DEVICE bool present(int which) const { return row + 8 * which < own.size; }
  LION_DEVICE Index token(int which) const { return p.walk.token(own.first + row + 8 * which); }

  LION_DEVICE Operand<T, false> own_rows(const T* tile) const {
    return plain(tile + strip * Kernel::kStride, Kernel::kStride);
  }

  /// What was asked for is there, for all threads.
  LION_DEVICE void arrive() const {
    dev.template wait<0>();
    dev.barrier();
  }

  /// The sum over the four lanes that share a row.
  LION_DEVICE A over_quad(A value) const {
    value += dev.shuffle_xor(value, 1);
    return value + dev.shuffle_xor(value, 2);
  }

  /// Rows as they lie, zero beyond the stretch.
  template <class RowOf>
  LION_DEVICE void load_whole(const Tokens<const T>& tokens, Stretch s, RowOf&& row_of, int stride, T* to) const {
    if (!p.walk.order && tokens.dense(W)) {
      load_dense<W, Kernel::kThreads>(dev, tokens, row_of(s.first), s.size, stride, to);
      return;
    }
    load_rows<W>(
        dev, tokens, s.size, [&](int i) { return row_of(p.walk.token(s.first + i)); }, [](int) { return A(1); }, stride,
        to);
  }

  /// Gated keys and values, zero where padded.
  LION_DEVICE void load_keys(Stretch s, T* k, int value_stride, T* v) const {
    const auto& walk = p.walk;
    if (!walk.order && !walk.key_mask && !walk.gated() && walk.k.dense(W) && walk.v.dense(W)) {
      load_dense<W, Kernel::kThreads>(dev, walk.k, walk.k.row(b, g, s.first), s.size, Kernel::kStride, k);
      load_dense<W, Kernel::kThreads>(dev, walk.v, walk.v.row(b, h, s.first), s.size, value_stride, v);
      return;
    }
    const auto at = [&](int j) { return walk.token(s.first + j); };
    load_rows<W>(
        dev, walk.k, s.size, [&](int j) { return walk.k.row(b, g, at(j)); },
        [&](int j) { return walk.padded(b, at(j)) ? A(0) : walk.gate(b, h, at(j)); }, Kernel::kStride, k);
    load_rows<W>(
        dev, walk.v, s.size, [&](int j) { return walk.v.row(b, h, at(j)); },
        [&](int j) { return A(walk.padded(b, at(j)) ? 0 : 1); }, value_stride, v);
  }

  /// All that the tile sees: the pairs of its chunk, and the states at its edges. The own tokens' decays and rows have
  /// been asked for.
  LION_DEVICE void see() {
    if (p.global) {
      const Index slot = p.walk.sequences.first_slot(tiles.sequence_number, p.past.size);
      if constexpr (kStatesAhead<T, W>) ask_state(p.past, slot, 0);
      arrive();
      self().look(
          p.past, slot, [](int) { return A(1); }, std::true_type());
      return;
    }
    if constexpr (kStatesAhead<T, W>) {
      if constexpr (Dir::past) ask_ahead<true>();
      if constexpr (Dir::future) ask_ahead<false>();
    }
    self().load(own);
    arrive();
    self().add_pairs(
        [&](int i, int j) {
          if (!Dir::future && j > i) return A(0);
          if (!Dir::past && j < i) return A(0);
          return (own_queries ? shared.rows : shared.columns).template pair<Dev>(i, j);
        },
        [](int i, int j) { return i - j; });
    if constexpr (Dir::past) side<true>();
    if constexpr (Dir::future) side<false>();
  }

  /// Rows [first, first + rows) of a state: where they lie already, or brought to `to`, for all threads.
  template <int rows>
  LION_DEVICE const T* state_rows(const ChunkStates<T>& states, Index number, int first, bool past, T* to) const {
    if constexpr (kStatesAhead<T, W>) {
      return shared.states + (past ? 0 : kState);
    } else {
      dev.barrier();  // what lay there has been used
      states.template load<W, Kernel::kColumns, rows, Kernel::kRowStride>(dev, number, first, to);
      arrive();
      return to;
    }
  }

  /// Columns [first, first + n) of the sums += weights ⊙ product; `seen` += what that is to the own rows x.
  template <int n, class Sums>
  LION_DEVICE void add_looked(Sums& sums, const Strip<A, n>& product, const A (&weights)[2], int first, const T* x,
                              A (&seen)[2]) const {
    LION_UNROLL
    for (int j = 0; j < n / 8; ++j) {
      LION_UNROLL
      for (int part = 0; part < 4; ++part) {
        const A value = weights[part / 2] * product.values[j][part];
        sums.values[first / 8 + j][part] += value;
        if constexpr (decays) {
          const int column = first + Sums::column(dev.lane(), j, part);
          seen[part / 2] += value * Dev::widen(x[(row + part / 2 * 8) * Kernel::kStride + column]);
        }
      }
    }
  }

 private:
  static constexpr int kState = W * Kernel::kRowStride;  // elements

  LION_DEVICE void ask_state(const ChunkStates<T>& states, Index slot, int to) const {
    states.template load<W, Kernel::kColumns, W, Kernel::kRowStride>(dev, states.number(b, h, slot), 0,
                                                                     shared.states + to);
  }

  /// The state at the edge where side<past>() ends, unless no token lies beyond.
  template <bool past>
  LION_DEVICE void ask_ahead() const {
    const auto& states = past ? p.past : p.future;
    constexpr bool left = past == own_queries;
    if (!states.data || !tiles.template beyond<left>(left ? p.open_left : p.open_right)) return;
    ask_state(states, tiles.chunk_slot(p.walk.sequences, states.size), past ? 0 : kState);
  }

  LION_DEVICE Self& self() { return static_cast<Self&>(*this); }

  /// Past: keys before queries, on the left of queries and on the right of keys.
  template <bool past>
  LION_DEVICE void side() {
    constexpr bool left = past == own_queries;
    const auto across = [](double log) { return decays ? Dev::exp(static_cast<A>(log)) : A(1); };
    auto& others = own_queries ? shared.columns : shared.rows;
    tiles.template side<left>(
        left ? p.open_left : p.open_right,
        [&](Index t, double between) {
          const Stretch there = tiles.stretch(t);
          dev.barrier();  // the tile before has been used
          others.derive(dev, p.walk, b, h, there);
          self().load(there);
          arrive();
          const A factor = across(between);
          const int apart = static_cast<int>(own_queries ? own.first - there.first : there.first - own.first);
          self().add_pairs(
              [&](int i, int j) {
                if constexpr (!decays) return A(1);
                return factor * (past ? shared.rows.from_left(i) * shared.columns.to_right(j)
                                      : shared.rows.from_right(i) * shared.columns.to_left(j));
              },
              [&](int i, int j) { return apart + i - j; });
          return others.total();
        },
        [&](double between) {
          const auto& states = past ? p.past : p.future;
          if (!states.data) return;
          const A factor = across(between);
          const auto& mine = own_queries ? shared.rows : shared.columns;
          self().look(
              states, tiles.chunk_slot(p.walk.sequences, states.size),
              [&](int i) {
                if constexpr (own_queries) return factor * (past ? mine.from_left(i) : mine.from_right(i));
                return factor * (past ? mine.to_right(i) : mine.to_left(i));
              },
              std::bool_constant<past>());
        });
  }
};

}  // namespace lion::cuda
