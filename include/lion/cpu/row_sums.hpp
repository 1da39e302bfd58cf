#pragma once
/// The sums n' of a head's rows while passes and orders add to them.

#include "lion/core/workspace.hpp"
#include "lion/cpu/rows.hpp"

namespace lion::cpu {

/// A tile of sums in work, and the place where sums wait that another pass or order adds to. When the rows of a tile
/// are complete, finish(token_of, n, d, rows) takes them; token_of(i) is the token of row i.
template <class A, class Finish>
struct RowSums {
  Tile<A> scratch_n;  // [kTile, E]
  A* scratch_d;       // [kTile]
  Rows<A> waiting_n;  // [L, E] in token order
  A* waiting_d;       // [L]
  bool divides;       // whether d is wanted
  Finish finish;
  bool filled = false;     // every row of the sequence waits with a partial sum
  bool last_order = true;  // no order follows: complete rows are finished

  Tile<A> n{};            // the tile in work
  A* d = nullptr;         // [kTile]
  bool in_place = false;  // the tile lies where it waits
  Index size = 0, width = 0;
  bool fresh = false;  // nothing has been added to it yet, and what lies there counts for nothing

  void keep() { filled = true; }

  template <class Head>
  void begin(const Head& head, Stretch tile) {
    fresh = !filled;
    size = tile.size;
    width = padded<A>(head.E);
    d = scratch_d;
    std::fill_n(d, padded<A>(tile.size), A(0));  // divided by vectors
    // Sums are made where they wait, if products can write there.
    in_place = waiting_n.data && !head.order && head.E % kWidth<A> == 0;
    n = in_place ? Tile<A>{waiting_n(tile.first), waiting_n.stride} : scratch_n;
    if (!filled) return;
    if (divides && !head.order) std::copy_n(waiting_d + tile.first, tile.size, d);
    for (Index i = 0; !in_place && i < tile.size; ++i) {
      const Index t = head.token(tile.first + i);
      load_row(waiting_n(t), head.E, A(1), n(i));
      if (divides && head.order) d[i] = waiting_d[t];
    }
  }

  /// n = or += product: how the next product of the tile enters.
  Into<A> next(const A* weight = nullptr) {
    if (!fresh) return {{}, weight};
    fresh = false;
    return Into<A>::set(weight);
  }

  /// For those who add row by row.
  void begin_at_zero() {
    if (fresh) {
      for (Index i = 0; i < size; ++i) std::fill_n(n(i), width, A(0));
    }
    fresh = false;
  }

  /// `complete`: nothing of this order follows for these rows.
  template <class Head>
  void end(const Head& head, Stretch tile, bool complete) {
    const auto token_of = [order = head.order, first = tile.first](Index i) {
      return order ? order[first + i] : first + i;
    };
    begin_at_zero();
    if (complete && last_order) return finish(token_of, n, d, tile.size);
    if (divides && !head.order) std::copy_n(d, tile.size, waiting_d + tile.first);
    for (Index i = 0; !in_place && i < tile.size; ++i) {
      const Index t = token_of(i);
      std::copy_n(n(i), head.E, waiting_n(t));
      if (divides && head.order) waiting_d[t] = d[i];
    }
  }
};

}  // namespace lion::cpu
