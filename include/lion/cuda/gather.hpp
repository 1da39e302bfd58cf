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
    for (int half = 0; half < 2; ++half) {
      const Index t = tokens[half];
      if (t < 0) continue;
      A* wait = waiting ? waiting + ((b * heads + h) * length + t) * columns : nullptr;
      T* row = to.row(b, h, t);
      LION_UNROLL
      for (int j = 0; j < Strip<A, N>::kTiles; ++j) {
        LION_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int column = Strip<A, N>::column(dev.lane(), j, c);
          A value = factors[half] == A(0) ? A(0) : factors[half] * sums.values[j][2 * half + c];
          if (adds_now) value += wait[column];
          if (!completes_now) {
            wait[column] = value;
          } else if (column < to.width) {
            row[column] = Dev::template narrow<T>(value);
          }
        }
      }
    }
  }
};

}  // namespace lion::cuda
