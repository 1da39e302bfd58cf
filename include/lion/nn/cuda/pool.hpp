#pragma once
/// What is read of the last tokens, on the GPU: their mean, or some of them.

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// The mean over the tokens of a sample: a block for 32 columns, whose warps take tokens in turn.
template <class T>
struct MeanKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;
  static constexpr std::size_t kSharedBytes = kThreads * sizeof(A);

  struct Parameters {
    View<const T, 2> x;  // [B·L,C]
    View<T, 2> y;        // [B,C]
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index b = dev.block(0), c = dev.block(1) * 32 + dev.lane(), length = p.x.extent(0) / p.y.extent(0);
    A* sums = reinterpret_cast<A*>(dev.shared());  // [warps, 32]
    A sum = 0;
    if (c < p.y.extent(1)) {
      for (Index t = dev.warp(); t < length; t += kRowsOfBlock) sum += Dev::widen(p.x(b * length + t, c));
    }
    sums[dev.thread()] = sum;
    dev.barrier();
    if (dev.warp() != 0 || c >= p.y.extent(1)) return;
    for (int w = 1; w < static_cast<int>(kRowsOfBlock); ++w) sum += sums[w * 32 + dev.lane()];
    p.y(b, c) = Dev::template narrow<T>(sum / static_cast<A>(length));
  }
};

/// y [B,C] from x [B·L,C].
template <class T, class Queue>
void mean(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y) {
  queue.template launch<MeanKernel<T>>("mean", {y.extent(0), blocks_of(y.extent(1), 32), 1},
                                       MeanKernel<T>::kSharedBytes, {x, y});
}

/// The gradient of the mean, to every token of its sample: a thread for n neighbours.
template <class T, int n>
struct MeanGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    View<const T, 2> dy;  // [B,C]
    View<T, 2> dx;        // [B·L,C]
    Index length;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index packs = p.dx.extent(1) / n, at = dev.block(0) * kThreads + dev.thread();
    const Index t = at / packs, column = at % packs * n;
    if (t >= p.dx.extent(0)) return;
    A values[n];
    load_pack<Dev>(p.dy.at(t / p.length, column), values);
    LION_UNROLL
    for (A& value : values) value /= static_cast<A>(p.length);
    store_pack<Dev>(p.dx.at(t, column), values);
  }
};

/// dx [B·L,C] from dy [B,C].
template <class T, class Queue>
void mean_backward(const Queue& queue, const View<const T, 2>& dy, const View<T, 2>& dx) {
  with_pack<T>(whole_packs(dy) && whole_packs(dx), [&](auto n) {
    using Kernel = MeanGradientKernel<T, n>;
    queue.template launch<Kernel>("mean_gradient", {blocks_of(dx.size() / n, Kernel::kThreads), 1, 1}, 0,
                                  {dy, dx, dx.extent(0) / dy.extent(0)});
  });
}

/// out[r] = x[rows[r]]: a thread for n neighbours.
template <class T, int n>
struct GatherRowsKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    View<const T, 2> x;  // [N,C]
    const Index* rows;   // [R]
    View<T, 2> out;      // [R,C]
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index packs = p.out.extent(1) / n, at = dev.block(0) * kThreads + dev.thread();
    const Index r = at / packs, column = at % packs * n;
    if (r >= p.out.extent(0)) return;
    A values[n];
    load_pack<Dev>(p.x.at(p.rows[r], column), values);
    store_pack<Dev>(p.out.at(r, column), values);
  }
};

template <class T, class Queue>
void gather_rows(const Queue& queue, const View<const T, 2>& x, const Index* rows, const View<T, 2>& out) {
  with_pack<T>(whole_packs(x) && whole_packs(out), [&](auto n) {
    using Kernel = GatherRowsKernel<T, n>;
    queue.template launch<Kernel>("gather_rows", {blocks_of(out.size() / n, Kernel::kThreads), 1, 1}, 0,
                                  {x, rows, out});
  });
}

}  // namespace lion::cuda
