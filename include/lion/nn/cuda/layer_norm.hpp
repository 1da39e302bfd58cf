#pragma once
/// nn::LayerNorm on the GPU, of rows that lie in memory or are sums of embeddings.

#include "lion/nn/cuda/rows.hpp"
#include "lion/nn/cuda/weights.hpp"

namespace lion::cuda {

/// Rows as they lie.
template <class T>
struct RowsInMemory {
  View<const T, 2> x;  ///< [N,C]

  LION_DEVICE const T* row(Index t) const { return x.at(t); }

  template <class Dev, int n>
  LION_DEVICE static void load(const T* row, Index column, accumulator_t<T> (&to)[n]) {
    load_pack<Dev>(row + column, to);
  }
};

/// A warp for each row, read three times: the first from memory, then from the cache. Each lane reads and writes
/// entries of its own, so that y may be x.
template <class T, class Source, int n>
struct LayerNormKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;

  struct Parameters {
    Source source;
    View<T, 2> y;  // [N,C]
    const A *weight, *bias;
    A epsilon;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index t = dev.block(0) * kRowsOfBlock + dev.warp(), width = p.y.extent(1);
    if (t >= p.y.extent(0)) return;
    const auto row = p.source.row(t);
    const auto for_each_pack = [&](auto&& f) {
      A values[n];
      for (Index c = Index(n) * dev.lane(); c < width; c += 32 * n) {
        Source::template load<Dev>(row, c, values);
        f(c, values);
      }
    };
    A sum = 0;
    for_each_pack([&](Index, A(&values)[n]) {
      LION_UNROLL
      for (const A value : values) sum += value;
    });
    const A mean = sum_of_warp(dev, sum) / static_cast<A>(width);
    A square = 0;
    for_each_pack([&](Index, A(&values)[n]) {
      LION_UNROLL
      for (const A value : values) square += (value - mean) * (value - mean);
    });
    const A scale = A(1) / Dev::sqrt(sum_of_warp(dev, square) / static_cast<A>(width) + p.epsilon);
    T* y = p.y.at(t);
    for_each_pack([&](Index c, A(&values)[n]) {
      A weight[n], bias[n];
      load_pack<Dev>(p.weight + c, weight);
      load_pack<Dev>(p.bias + c, bias);
      LION_UNROLL
      for (int i = 0; i < n; ++i) values[i] = (values[i] - mean) * scale * weight[i] + bias[i];
      store_pack<Dev>(y + c, values);
    });
  }
};

template <class T>
class LayerNorm {
 public:
  using A = accumulator_t<T>;

  LayerNorm() = default;
  LayerNorm(WeightImage<T>& image, const std::string& name, double epsilon = 1e-6)
      : weight_(image.take_wide(name + ".weight")),
        bias_(image.take_wide(name + ".bias")),
        epsilon_(static_cast<A>(epsilon)) {}

  /// y [N,C] from x [N,C], which it may be.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y) const {
    forward_of(queue, RowsInMemory<T>{x}, whole_packs(x), y);
  }

  /// The same of rows from elsewhere; `whole`: they may be read in packs.
  template <class Queue, class Source>
  void forward_of(const Queue& queue, const Source& source, bool whole, const View<T, 2>& y) const {
    with_pack<T>(whole && whole_packs(y), [&](auto n) {
      using Kernel = LayerNormKernel<T, Source, n>;
      queue.template launch<Kernel>("layer_norm", {blocks_of(y.extent(0), kRowsOfBlock), 1, 1}, 0,
                                    {source, y, weight_, bias_, epsilon_});
    });
  }

 private:
  const A *weight_ = nullptr, *bias_ = nullptr;
  A epsilon_ = 0;
};

}  // namespace lion::cuda
