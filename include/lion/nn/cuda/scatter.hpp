#pragma once
/// Rows added to rows by number on the GPU, as nn::scatter_add_rows does: in one order, whatever the GPU's. The way
/// back of embeddings and of tokens asked for.

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// to[i] (+)= Σ of x[r] with row_of(r) = i. A block for 16 rows of `to` and 64 columns: each of its warps looks at
/// stretches of 32 numbers and has sums of its own for what it finds, in their order; then warps are added in theirs.
template <class T, class Out, class RowOf>
struct ScatterRowsKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads, kWarps = kThreads / 32;
  static constexpr int kBlocks = 2;  // left to itself the compiler saves registers by spilling some
  static constexpr int kRows = 16, kColumns = 64;
  static constexpr std::size_t kSharedBytes = kWarps * kRows * kColumns * sizeof(A);

  struct Parameters {
    View<const T, 2> x;  // [R,C]
    RowOf row_of;        // of r in [0, R)
    View<Out, 2> to;     // [N,C]
    bool add;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index first = dev.block(0) * kRows, column = dev.block(1) * kColumns, count = p.x.extent(0);
    A* sums = reinterpret_cast<A*>(dev.shared());    // [warps, kRows, kColumns]
    A* mine = sums + dev.warp() * kRows * kColumns;  // of which a lane has columns of its own
    for (int i = dev.lane(); i < kRows * kColumns; i += 32) mine[i] = 0;
    for (Index at = Index(32) * dev.warp(); at < count; at += kThreads) {
      const Index r = at + dev.lane(), apart = r < count ? p.row_of(r) - first : Index(-1);
      const int row = apart >= 0 && apart < kRows ? static_cast<int>(apart) : -1;
      unsigned found = row < 0 ? 0u : 1u << dev.lane();
      LION_UNROLL
      for (int by = 16; by > 0; by /= 2) found |= dev.shuffle_xor(found, by);
      if (found == 0) continue;
      for (int from = 0; from < 32; ++from) {
        const int to = dev.shuffle(row, from);
        if (to < 0) continue;
        LION_UNROLL
        for (int c = dev.lane(); c < kColumns; c += 32) {
          if (column + c < p.x.extent(1)) mine[to * kColumns + c] += Dev::widen(p.x(at + from, column + c));
        }
      }
    }
    dev.barrier();
    for (int i = dev.thread(); i < kRows * kColumns; i += kThreads) {
      const Index row = first + i / kColumns, c = column + i % kColumns;
      if (row >= p.to.extent(0) || c >= p.to.extent(1)) continue;
      A sum = p.add ? Dev::widen(p.to(row, c)) : A(0);
      LION_UNROLL
      for (int w = 0; w < kWarps; ++w) sum += sums[w * kRows * kColumns + i];
      p.to(row, c) = Dev::template narrow<Out>(sum);
    }
  }
};

/// to[row_of(r)] += x[r] for every row of x [R,C]; unless `add`, rows of `to` [N,C] that none is added to become 0.
template <class T, class Out, class RowOf, class Queue>
void scatter_rows(const Queue& queue, const View<const T, 2>& x, const RowOf& row_of, const View<Out, 2>& to,
                  bool add) {
  using Kernel = ScatterRowsKernel<T, Out, RowOf>;
  queue.template launch<Kernel>("scatter_rows",
                                {blocks_of(to.extent(0), Kernel::kRows), blocks_of(to.extent(1), Kernel::kColumns), 1},
                                Kernel::kSharedBytes, {x, row_of, to, add});
}

/// Numbers as they lie.
struct RowNumbers {
  const Index* rows;  ///< [R]
  LION_DEVICE Index operator()(Index r) const { return rows[r]; }
};

}  // namespace lion::cuda
