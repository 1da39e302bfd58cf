#pragma once
/// nn::LayerNorm on the GPU, of rows that lie in memory or are sums of embeddings.

#include "lion/nn/cuda/column_sums.hpp"
#include "lion/nn/cuda/trained_weights.hpp"
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
    A* statistics;  // [N,2] mean and 1/deviation, or none
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
    if (p.statistics && dev.lane() == 0) {
      p.statistics[2 * t] = mean;
      p.statistics[2 * t + 1] = scale;
    }
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

/// dx of a norm, or dx += it: a warp for each row, read twice.
template <class T, int n>
struct LayerNormGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;

  struct Parameters {
    View<const T, 2> dy, x;  // [N,C]
    View<T, 2> dx;           // [N,C]
    const A *statistics, *weight;
    bool add;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index t = dev.block(0) * kRowsOfBlock + dev.warp(), width = p.dx.extent(1);
    if (t >= p.dx.extent(0)) return;
    const A mean = p.statistics[2 * t], scale = p.statistics[2 * t + 1];
    const T *dy = p.dy.at(t), *x = p.x.at(t);
    const auto for_each_pack = [&](auto&& f) {
      A inner[n], normal[n], weight[n];
      for (Index c = Index(n) * dev.lane(); c < width; c += 32 * n) {
        load_pack<Dev>(dy + c, inner);
        load_pack<Dev>(x + c, normal);
        load_pack<Dev>(p.weight + c, weight);
        LION_UNROLL
        for (int i = 0; i < n; ++i) {
          inner[i] *= weight[i];
          normal[i] = (normal[i] - mean) * scale;
        }
        f(c, inner, normal);
      }
    };
    A average = 0, along = 0;
    for_each_pack([&](Index, const A(&inner)[n], const A(&normal)[n]) {
      LION_UNROLL
      for (int i = 0; i < n; ++i) {
        average += inner[i];
        along += inner[i] * normal[i];
      }
    });
    average = sum_of_warp(dev, average) / static_cast<A>(width);
    along = sum_of_warp(dev, along) / static_cast<A>(width);
    T* dx = p.dx.at(t);
    for_each_pack([&](Index c, const A(&inner)[n], const A(&normal)[n]) {
      A values[n] = {};
      if (p.add) load_pack<Dev>(dx + c, values);
      LION_UNROLL
      for (int i = 0; i < n; ++i) values[i] += scale * (inner[i] - average - normal[i] * along);
      store_pack<Dev>(dx + c, values);
    });
  }
};

/// What the gradients of a norm's weight and bias are sums of.
template <class T>
struct NormColumns {
  static constexpr int kSums = 2;
  View<const T, 2> dy, x;
  const accumulator_t<T>* statistics;

  template <class Dev>
  LION_DEVICE void add(Index t, Index c, Index, accumulator_t<T> (&sums)[2]) const {
    const accumulator_t<T> upstream = Dev::widen(dy(t, c));
    sums[0] += upstream * (Dev::widen(x(t, c)) - statistics[2 * t]) * statistics[2 * t + 1];
    sums[1] += upstream;
  }
};

template <class T>
class LayerNorm {
 public:
  using A = accumulator_t<T>;

  LayerNorm() = default;
  template <class Image>
  LayerNorm(Image& image, const std::string& name, double epsilon = 1e-6)
      : weight_(image.take_wide(name + ".weight")),
        bias_(image.take_wide(name + ".bias")),
        epsilon_(static_cast<A>(epsilon)) {}

  /// y [N,C] from x [N,C], which it may be. Mean and 1/deviation of each row go to `statistics` [N,2], if present, for
  /// backward.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y, A* statistics = nullptr) const {
    forward_of(queue, RowsInMemory<T>{x}, whole_packs(x), y, statistics);
  }

  /// The same of rows from elsewhere; `whole`: they may be read in packs.
  template <class Queue, class Source>
  void forward_of(const Queue& queue, const Source& source, bool whole, const View<T, 2>& y,
                  A* statistics = nullptr) const {
    with_pack<T>(whole && whole_packs(y), [&](auto n) {
      using Kernel = LayerNormKernel<T, Source, n>;
      queue.template launch<Kernel>("layer_norm", {blocks_of(y.extent(0), kRowsOfBlock), 1, 1}, 0,
                                    {source, y, weight_, bias_, epsilon_, statistics});
    });
  }

  /// dx [N,C] += the gradient of x, or dx = it unless `add`, and the gradients of weight and bias are added to theirs.
  /// x and statistics as forward had and gave them; `sums` is scratch of backward_scratch(N, C) elements.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& dy,
                const View<const T, 2>& x, const A* statistics, const View<T, 2>& dx, A* sums, bool add = true) const {
    add_column_sums(queue, NormColumns<T>{dy, x, statistics}, x.extent(0), x.extent(1),
                    {weights.gradient(weight_), weights.gradient(bias_)}, sums);
    with_pack<T>(whole_packs(dy) && whole_packs(x) && whole_packs(dx), [&](auto n) {
      queue.template launch<LayerNormGradientKernel<T, n>>("layer_norm_gradient",
                                                           {blocks_of(x.extent(0), kRowsOfBlock), 1, 1}, 0,
                                                           {dy, x, dx, statistics, weight_, add});
    });
  }
  static Index backward_scratch(Index tokens, Index width) { return column_sums_scratch(tokens, 2 * width); }

 private:
  const A *weight_ = nullptr, *bias_ = nullptr;
  A epsilon_ = 0;
};

}  // namespace lion::cuda
