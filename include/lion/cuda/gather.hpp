#pragma once
/// Where the rows of a gradient go: they wait for more of the same (of another order, or of another head that shares
/// them), or are stored.

#include "lion/cuda/strip.hpp"
#include "lion/cuda/tile.hpp"

namespace lion::cuda {

template <class T>
struct Gather {
  using A = accumulator_t<T>;

  Tokens<T> to;
  A* waiting = nullptr;  // [B, heads, L, columns], needed unless rows come once
  Index heads = 0, length = 0;
  int columns = 0;
  bool adds = false;      ///< something of these rows waits already
  bool completes = true;  ///< nothing follows

  /// `factors` times the lane's two rows of a strip; tokens[·] < 0: no row.
  template <class Dev, int N>
  LION_DEVICE void take(const Dev& dev, const Strip<A, N>& sums, Index b, Index h, const Index (&tokens)[2],
                        const A (&factors)[2], bool adds_now, bool completes_now) const {
    LION_UNROLL
    for (int part = 0; part < 2; ++part) {
      const Index t = tokens[part];
      if (t < 0) continue;
      A* wait = waiting ? waiting + ((b * heads + h) * length + t) * columns : nullptr;
      T* row = to.row(b, h, t);
      LION_UNROLL
      for (int j = 0; j < Strip<A, N>::kTiles; ++j) {
        const int column = Strip<A, N>::column(dev.lane(), j, 0);
        A pair[2];
        LION_UNROLL
        for (int c = 0; c < 2; ++c) {
          pair[c] = factors[part] == A(0) ? A(0) : factors[part] * sums.values[j][2 * part + c];
          if (adds_now) pair[c] += wait[column + c];
          if (!completes_now) wait[column + c] = pair[c];
        }
        if (completes_now) store_pair<Dev>(to, row, column, pair[0], pair[1]);
      }
    }
  }
};

}  // namespace lion::cuda
