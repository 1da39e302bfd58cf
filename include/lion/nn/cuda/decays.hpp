#pragma once
/// nn::Decays on the GPU: where the decays of a LION layer come from.

#include <algorithm>
#include <cmath>

#include "lion/nn/cuda/column_sums.hpp"
#include "lion/nn/cuda/decay_slopes.hpp"
#include "lion/nn/cuda/trained_weights.hpp"
#include "lion/nn/cuda/weights.hpp"
#include "lion/nn/decays.hpp"

namespace lion::cuda {

/// LION-S: log λ of every head of every order, with float sums: a warp for four tokens, so that a weight is read once
/// for four.
template <class T, int n>
struct DecaysKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocks = 2;  // left to itself the compiler saves registers by spilling some
  static constexpr int kTokens = 4;

  struct Parameters {
    View<const T, 2> z;    // [N,C]
    const T* weight;       // [R·H,C]
    const A* bias;         // [R·H]
    A* log_lambda;         // [R,N,H]
    Index orders, heads;   // R, H
    Index length, prefix;  // tokens of a sample, of which so many do not decay
    A floor, log_floor;    // added to λ
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index tokens = p.z.extent(0), width = p.z.extent(1);
    const Index first = (dev.block(0) * kRowsOfBlock + dev.warp()) * kTokens;
    if (first >= tokens) return;
    const Index mine = first + dev.lane();  // the token whose log λ the lane writes, of the first lanes
    const bool writes = dev.lane() < kTokens && mine < tokens, still = mine % p.length < p.prefix;
    const T* weights = p.weight;
    const A* bias = p.bias;
    for (Index r = 0; r < p.orders; ++r) {
      A* out = p.log_lambda + (r * tokens + mine) * p.heads;
      for (Index h = 0; h < p.heads; ++h, weights += width) {
        A sums[kTokens] = {};
        for (Index c = Index(n) * dev.lane(); c < width; c += 32 * n) {
          A weight[n], values[n];
          load_pack<Dev>(weights + c, weight);
          LION_UNROLL
          for (int i = 0; i < kTokens; ++i) {
            if (first + i >= tokens) continue;
            load_pack<Dev>(p.z.at(first + i, c), values);
            LION_UNROLL
            for (int e = 0; e < n; ++e) sums[i] += weight[e] * values[e];
          }
        }
        A sum = 0;
        LION_UNROLL
        for (int i = 0; i < kTokens; ++i) {
          const A of_token = sum_of_warp(dev, sums[i]);
          if (dev.lane() == i) sum = of_token;
        }
        if (writes) out[h] = still ? A(0) : log_decay<Dev>(p, sum + bias[h]);
      }
      bias += p.heads;
    }
  }

 private:
  /// min(0, log(σ(-x) + floor)), as nn/decays.hpp has it, without overflow or cancellation.
  template <class Dev>
  LION_DEVICE static A log_decay(const Parameters& p, A x) {
    A value = log_sigmoid<Dev>(-x);
    if (p.floor <= A(0)) return value;
    value = (Dev::max)(value, p.log_floor) + Dev::log1p(Dev::exp(-detail::magnitude(value - p.log_floor)));
    return (Dev::min)(value, A(0));
  }
};

/// As nn::Decays<S, M>: log λ [orders · size(tokens)] from z, the mask's parameters from it, and its gradients' places.
/// `backward` adds to dz and to the weights' gradients and overwrites dlog_lambda; `sums` is scratch of
/// backward_scratch(N, C) elements.
template <class T, class M>
class Decays;

template <class T>
class Decays<T, mask::Linear> {
 public:
  using A = accumulator_t<T>;

  Decays() = default;
  template <class Image>
  Decays(Image&, const nn::DecayOptions&, Index) {}
  Index orders() const { return 1; }
  Index size(Index) const { return 0; }
  template <class Queue>
  void forward(const Queue&, const View<const T, 2>&, Index, A*) const {}
  MaskParameters<mask::Linear, T> parameters(Index, Index, Index, const A*) const { return {}; }
  MaskGradients<mask::Linear, T> gradients(Index, Index, Index, A*) const { return {}; }
  template <class Queue>
  void backward(const Queue&, const TrainedWeights<T>&, const View<const T, 2>&, const A*, A*, const View<T, 2>&,
                A*) const {}
  Index backward_scratch(Index, Index) const { return 0; }
};

/// LION-D: log σ(a) is a constant of inference, computed when the weights are loaded.
template <class T>
class Decays<T, mask::Decay> {
 public:
  using A = accumulator_t<T>;

  Decays() = default;
  template <class Image>
  Decays(Image& image, const nn::DecayOptions& options, Index heads)
      : heads_(heads), orders_(static_cast<Index>(options.names.size())) {
    if constexpr (Image::trains) {
      a_ = image.take_wide(options.names);
    } else {
      log_lambda_ = image.take_wide(options.names, [](float a) {
        return static_cast<A>((std::min)(a, 0.0f) - std::log1p(std::exp(-std::abs(a))));
      });
    }
  }
  Index orders() const { return orders_; }
  Index size(Index) const { return a_ ? heads_ : 0; }

  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>&, Index, A* log_lambda) const {
    if (a_) launch(queue, "decays", {a_, log_lambda, nullptr, orders_ * heads_});
  }
  MaskParameters<mask::Decay, T> parameters(Index, Index, Index r, const A* log_lambda) const {
    return {View<const A, 1>((a_ ? log_lambda : log_lambda_) + r * heads_, {heads_})};
  }
  MaskGradients<mask::Decay, T> gradients(Index, Index, Index r, A* dlog_lambda) const {
    return {View<A, 1>(dlog_lambda + r * heads_, {heads_})};
  }
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>&, const A*, A* dlog_lambda,
                const View<T, 2>&, A*) const {
    launch(queue, "decays_gradient", {a_, dlog_lambda, weights.gradient(a_), orders_ * heads_});
  }
  Index backward_scratch(Index, Index) const { return 0; }

 private:
  template <class Queue>
  static void launch(const Queue& queue, const char* name, const typename HeadDecaysKernel<A>::Parameters& parameters) {
    using Kernel = HeadDecaysKernel<A>;
    queue.template launch<Kernel>(name, {blocks_of(parameters.count, Kernel::kThreads), 1, 1}, 0, parameters);
  }

  Index heads_ = 0, orders_ = 0;
  const A* log_lambda_ = nullptr;  // [R,H], of inference
  const A* a_ = nullptr;           // [R,H], of training
};

template <class T>
class Decays<T, mask::Selective> {
 public:
  using A = accumulator_t<T>;

  Decays() = default;
  template <class Image>
  Decays(Image& image, const nn::DecayOptions& options, Index heads)
      : heads_(heads),
        orders_(static_cast<Index>(options.names.size())),
        prefix_(options.prefix),
        floor_(static_cast<A>(options.floor)) {
    std::vector<std::string> weights, biases;
    for (const std::string& name : options.names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
    }
    weight_ = image.take(weights);
    bias_ = image.take_wide(biases);
  }
  Index orders() const { return orders_; }
  Index size(Index tokens) const { return tokens * heads_; }

  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& z, Index length, A* log_lambda) const {
    with_pack<T>(whole_packs(z), [&](auto n) {
      using Kernel = DecaysKernel<T, n>;
      queue.template launch<Kernel>("decays", {blocks_of(z.extent(0), kRowsOfBlock * Kernel::kTokens), 1, 1}, 0,
                                    {z, weight_, bias_, log_lambda, orders_, heads_, length, prefix_, floor_,
                                     floor_ > A(0) ? std::log(floor_) : A(0)});
    });
  }
  MaskParameters<mask::Selective, T> parameters(Index batch, Index length, Index r, const A* log_lambda) const {
    return {
        View<const A, 3>(log_lambda + r * size(batch * length), {batch, heads_, length}, {length * heads_, 1, heads_})};
  }
  MaskGradients<mask::Selective, T> gradients(Index batch, Index length, Index r, A* dlog_lambda) const {
    return {View<A, 3>(dlog_lambda + r * size(batch * length), {batch, heads_, length}, {length * heads_, 1, heads_})};
  }

  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& z, const A* log_lambda,
                A* dlog_lambda, const View<T, 2>& dz, A* sums) const {
    const Index tokens = z.extent(0), width = z.extent(1), outputs = orders_ * heads_;
    using Slopes = DecaySlopesKernel<A>;
    queue.template launch<Slopes>("decay_slopes", {blocks_of(tokens * outputs, Slopes::kThreads), 1, 1}, 0,
                                  {log_lambda, dlog_lambda, tokens * outputs, floor_});
    const A* slopes = dlog_lambda;
    add_column_sums(queue, DecayColumns<T>{z, slopes, heads_, outputs}, tokens, width, {weights.gradient(weight_)},
                    sums, blocks_of(outputs, DecayColumns<T>::kSums), outputs * width);
    for (Index r = 0; r < orders_; ++r) {
      add_column_sums(queue, ColumnsOf<A>{{slopes + r * tokens * heads_, {tokens, heads_}}}, tokens, heads_,
                      {weights.gradient(bias_) + r * heads_}, sums);
    }
    with_pack<T>(whole_packs(dz), [&](auto n) {
      using Kernel = DecayInputGradientKernel<T, n>;
      queue.template launch<Kernel>("decay_input_gradient", {blocks_of(dz.size() / n, Kernel::kThreads), 1, 1}, 0,
                                    {dz, slopes, weight_, heads_, orders_});
    });
  }
  Index backward_scratch(Index tokens, Index width) const {
    constexpr Index kSums = DecayColumns<T>::kSums;
    return column_sums_scratch(tokens, blocks_of(orders_ * heads_, kSums) * kSums * width);
  }

 private:
  Index heads_ = 0, orders_ = 0, prefix_ = 0;
  A floor_ = 0;
  const T* weight_ = nullptr;  // [R·H,C]
  const A* bias_ = nullptr;    // [R·H]
};

}  // namespace lion::cuda
