#pragma once
/// The sums n' of a head's rows while passes and orders add to them.

#include "lion/core/workspace.hpp"
#include "lion/cpu/rows.hpp"

namespace lion::cpu {

/// A tile of sums in work, and the place where sums wait that another pass or order adds to. When a row is complete,
/// finish(token, n [E], d) takes it.
template <class A, class Finish>
struct RowSums {
  Tile<A> n;          // the tile [kTile, E]
  A* d;               // [kTile]
  Rows<A> waiting_n;  // [L, E] in token order
  A* waiting_d;       // [L]
  bool divides;       // whether d is wanted
  Finish finish;
  bool filled = false;     // every row of the sequence waits with a partial sum
  bool last_order = true;  // no order follows: complete rows are finished

  void keep() { filled = true; }

  template <class Head>
  void begin(const Head& head, Stretch tile) {
    for (Index i = 0; i < tile.size; ++i) {
      if (!filled) {
        std::fill_n(n(i), n.stride, A(0));
        d[i] = 0;
        continue;
      }
      const Index t = head.token(tile.first + i);
      load_row(waiting_n(t), head.E, A(1), n(i));
      if (divides) d[i] = waiting_d[t];
    }
  }

  /// `complete`: nothing of this order follows for these rows.
  template <class Head>
  void end(const Head& head, Stretch tile, bool complete) {
    for (Index i = 0; i < tile.size; ++i) {
      const Index t = head.token(tile.first + i);
      if (complete && last_order) {
        finish(t, n(i), d[i]);
      } else {
        std::copy_n(n(i), head.E, waiting_n(t));
        if (divides) waiting_d[t] = d[i];
      }
    }
  }
};

}  // namespace lion::cpu
