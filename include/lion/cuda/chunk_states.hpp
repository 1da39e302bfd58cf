#pragma once
/// The states at the edges of chunks (math.md §3), as they are kept in scratch between two kernels.

#include "lion/cuda/tile.hpp"

namespace lion::cuda {

/// Whether kernels ask for the states at both edges of a chunk before they need them: where both fit into shared memory
/// beside the tiles, a block then waits once for all that it reads.
template <class T, int W>
inline constexpr bool kStatesAhead = kTensor<T> && W <= 64;

/// States [B, H, slots, W, columns], W the width of the rows that enter filled up and `columns` those of v'. 16-bit
/// tensors keep them as tensor cores take them: rounded, and times a power of two that keeps them in half's range;
/// `factor` undoes it.
template <class T>
struct ChunkStates {
  using A = accumulator_t<T>;

  T* data = nullptr;
  A* factor = nullptr;  // [B, H, slots]
  Index heads = 0, slots = 0;
  Index size = 0;  ///< tokens of a chunk

  LION_DEVICE Index number(Index b, Index h, Index slot) const { return (b * heads + h) * slots + slot; }

  /// What a kept state is to be multiplied by.
  LION_DEVICE A scale(Index number) const {
    if constexpr (kTensor<T>) return factor[number];
    return A(1);
  }

  /// Rows [first, first + rows) of a state of W rows → to, `stride` apart. They have arrived after dev.wait() and a
  /// barrier.
  template <int W, int columns, int rows, int stride, class Dev>
  LION_DEVICE void load(const Dev& dev, Index number, int first, T* to) const {
    constexpr int kVector = 16 / static_cast<int>(sizeof(T)), kVectors = columns / kVector;
    const T* from = data + (number * W + first) * columns;
    for (int i = dev.thread(); i < rows * kVectors; i += dev.threads()) {
      const int d = i / kVectors, e = i % kVectors * kVector;
      dev.copy_async(to + d * stride + e, from + d * columns + e, true);
    }
    dev.commit();
  }
};

}  // namespace lion::cuda
