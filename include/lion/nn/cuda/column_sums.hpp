#pragma once
/// Sums over the rows of a matrix, in one order whatever the GPU: those of stretches of rows, then theirs. Gradients of
/// biases, norms, positions and decays.
///
/// What is summed has `kSums` entries at every row and column (and group of such columns, if there are several):
///   template <class Dev> void add(Index row, Index column, Index group, A (&sums)[kSums]) const;

#include <initializer_list>

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// Entries as they lie.
template <class T>
struct ColumnsOf {
  static constexpr int kSums = 1;
  View<const T, 2> x;

  template <class Dev>
  LION_DEVICE void add(Index row, Index column, Index, accumulator_t<T> (&sums)[1]) const {
    sums[0] += Dev::widen(x(row, column));
  }
};

/// Rows of a stretch: at most kStretches of them.
constexpr Index rows_of_stretch(Index rows) {
  constexpr Index kStretches = 64, kFewest = 64;
  const Index even = blocks_of(rows, kStretches);
  return even < kFewest ? kFewest : even;
}

/// A block for a stretch of rows and 32 columns, whose warps take rows in turn.
template <class A_, class Source>
struct ColumnSumsKernel {
  using A = A_;
  static constexpr int kThreads = kRowThreads, kSums = Source::kSums;
  static constexpr std::size_t kSharedBytes = kThreads * kSums * sizeof(A);

  struct Parameters {
    Source source;
    A* sums;  // [stretches, groups, kSums, columns]
    Index rows, columns, stretch, groups;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index c = dev.block(0) * 32 + dev.lane(), first = dev.block(1) * p.stretch, group = dev.block(2);
    const Index end = (Dev::min)(first + p.stretch, p.rows);
    A* shared = reinterpret_cast<A*>(dev.shared());  // [kSums, warps, 32]
    A sums[kSums] = {};
    if (c < p.columns) {
      for (Index row = first + dev.warp(); row < end; row += kRowsOfBlock) {
        p.source.template add<Dev>(row, c, group, sums);
      }
    }
    LION_UNROLL
    for (int s = 0; s < kSums; ++s) shared[s * kThreads + dev.thread()] = sums[s];
    dev.barrier();
    if (dev.warp() != 0 || c >= p.columns) return;
    A* out = p.sums + (dev.block(1) * p.groups + group) * kSums * p.columns + c;
    LION_UNROLL
    for (int s = 0; s < kSums; ++s) {
      for (int w = 1; w < static_cast<int>(kRowsOfBlock); ++w) sums[s] += shared[s * kThreads + w * 32 + dev.lane()];
      out[s * p.columns] = sums[s];
    }
  }
};

/// The sums of stretches added to `to`: a thread for each.
template <class A>
struct AddSumsKernel {
  static constexpr int kThreads = 256;

  struct Parameters {
    const A* sums;  // [stretches, apart]
    A* to;          // [count]
    Index stretches, apart, count;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index at = dev.block(0) * kThreads + dev.thread();
    if (at >= p.count) return;
    A sum = 0;
    for (Index i = 0; i < p.stretches; ++i) sum += p.sums[i * p.apart + at];
    p.to[at] += sum;
  }
};

/// Elements of scratch for sums over so many rows.
constexpr Index column_sums_scratch(Index rows, Index sums) { return blocks_of(rows, rows_of_stretch(rows)) * sums; }

/// to[s] [columns] += the s-th sum; or, with one `to` and several groups, to [groups·kSums·columns], of which the first
/// `count` are wanted. `scratch` has column_sums_scratch(rows, groups·kSums·columns) elements.
template <class A, class Source, class Queue>
void add_column_sums(const Queue& queue, const Source& source, Index rows, Index columns, std::initializer_list<A*> to,
                     A* scratch, Index groups = 1, Index count = 0) {
  using Kernel = ColumnSumsKernel<A, Source>;
  const Index stretch = rows_of_stretch(rows), stretches = blocks_of(rows, stretch);
  const Index apart = groups * Kernel::kSums * columns;
  queue.template launch<Kernel>("column_sums", {blocks_of(columns, 32), stretches, groups}, Kernel::kSharedBytes,
                                {source, scratch, rows, columns, stretch, groups});
  const A* from = scratch;
  const Index each = count > 0 ? count : columns;
  for (A* sum : to) {
    queue.template launch<AddSumsKernel<A>>("add_sums", {blocks_of(each, AddSumsKernel<A>::kThreads), 1, 1}, 0,
                                            {from, sum, stretches, apart, each});
    from += columns;
  }
}

}  // namespace lion::cuda
