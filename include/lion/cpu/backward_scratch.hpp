#pragma once
/// The tiles that a lane of a backward pass works in.

#include "lion/cpu/bfloat16_product.hpp"
#include "lion/cpu/gradient_rows.hpp"
#include "lion/cpu/pair_tally.hpp"
#include "lion/cpu/state.hpp"

namespace lion::cpu {

/// Tiles of a backward pass. Those of pairs have a row for each key: queries and slopes are turned about once a row
/// tile, and nothing else is.
template <class A, class M, class Products>
struct BackwardScratch {
  using Row = typename Products::Row;
  static constexpr mask::DecayKind kind = M::decay;
  TileDecay<A, kind> rows, columns;
  Tile<Row> copy_q, copy_k, copy_v;  // [kTile, D or E], of rows that cannot be used where they lie
  Tile<A> dn;                        // [kTile, E+1], dn' with dd as its last column
  A *dd, *weights;                   // [kTile]
  Tile<A> scaled;                    // [kTile, D]
  typename Products::Turned query_columns, slope_columns,
      state_columns;       // [D, kTile], [E, kTile], [E, D]: qᵀ, dnᵀ, Rᵀ or Tᵀ
  Tile<A> scores, slopes;  // [kTile, kTile]: Aᵀ, Pᵀ
  Tile<A> dq, dk, dv;      // [kTile, D] or [kTile, E]
  PairTally<A, kind> tally;
  State<A, true> keys;
  State<A> queries;
  State<A, true> crossed;  // of keys, with one decay per head
  MaskScalars<kind, M::gated> scalars;
  Tile<const Row> q, k, v;                 // the tiles in work
  Index loaded = -1, loaded_queries = -1;  // first positions of the tiles in k and v, and in q and dn
  Ahead ahead;
  bool fresh = true;     // nothing has come to dq yet
  bool pending = false;  // something has come to dk and dv, and is not yet in their rows

  BackwardScratch(Arena& arena, Index L, Index D, Index E)
      : rows(arena),
        columns(arena),
        copy_q(take_tile<Row>(arena, kTile, D)),
        copy_k(take_tile<Row>(arena, kTile, D)),
        copy_v(take_tile<Row>(arena, kTile, E)),
        dn(take_tile<A>(arena, kTile, E + 1)),
        dd(arena.take<A>(kTile)),
        weights(arena.take<A>(kTile)),
        scaled(take_tile<A>(arena, kTile, D)),
        query_columns(arena, D, kTile),
        slope_columns(arena, E, kTile),
        state_columns(arena, E, D),
        scores(take_tile<A>(arena, kTile, kTile)),
        slopes(take_tile<A>(arena, kTile, kTile)),
        dq(take_tile<A>(arena, kTile, D)),
        dk(take_tile<A>(arena, kTile, D)),
        dv(take_tile<A>(arena, kTile, E)),
        tally(arena),
        keys(arena, D, E),
        queries(arena, D, E),
        scalars(arena, L) {
    if constexpr (kind == mask::DecayKind::per_head) crossed = State<A, true>(arena, D, E);
  }

  void restart() {
    rows.restart();
    columns.restart();
    loaded = loaded_queries = -1;
    pending = false;
  }

  template <class Head>
  void load_kv(const Head& head, Stretch tile) {
    if (loaded == tile.first) return;
    loaded = tile.first;
    k = head.load_k(tile, copy_k);
    v = head.load_v(tile, copy_v);
  }
};

}  // namespace lion::cpu
