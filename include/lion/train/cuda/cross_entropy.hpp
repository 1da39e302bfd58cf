#pragma once
/// The losses of a classifier on the GPU: cross-entropy as lion/train has it, in float; of texts also with rows that do
/// not count, whose label is −1.

#include <span>

#include "lion/nn/cuda/rows.hpp"
#include "lion/train/softmax_loss.hpp"

namespace lion::cuda {

/// Of each row −Σ_k target(b,k) log softmax_k, and the gradient of `weight` times the sum of them. A warp for a row.
template <class T, class Target>
struct CrossEntropyKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocks = 2;  // left to itself the compiler saves registers by spilling some

  struct Parameters {
    View<const T, 2> logits;  // [B,K]
    Target target;
    A weight;
    View<T, 2> dlogits;  // [B,K]
    A* losses;           // [B]
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index b = dev.block(0) * kRowsOfBlock + dev.warp(), classes = p.logits.extent(1);
    if (b >= p.logits.extent(0)) return;
    A peak = Dev::widen(p.logits(b, 0)), sum = 0, loss = 0, mass = 0;
    for (Index k = dev.lane(); k < classes; k += 32) peak = (Dev::max)(peak, Dev::widen(p.logits(b, k)));
    LION_UNROLL
    for (int by = 16; by > 0; by /= 2) peak = (Dev::max)(peak, dev.shuffle_xor(peak, by));
    for (Index k = dev.lane(); k < classes; k += 32) sum += Dev::exp(Dev::widen(p.logits(b, k)) - peak);
    sum = sum_of_warp(dev, sum);
    const A log_sum = Dev::log1p(sum - A(1));  // the largest has e^0
    for (Index k = dev.lane(); k < classes; k += 32) {
      const A target = static_cast<A>(p.target(b, k));
      if (target == A(0)) continue;  // a class ruled out has −∞
      mass += target;
      loss -= target * (Dev::widen(p.logits(b, k)) - peak - log_sum);
    }
    mass = sum_of_warp(dev, mass);
    loss = sum_of_warp(dev, loss);
    for (Index k = dev.lane(); k < classes; k += 32) {
      const A share = Dev::exp(Dev::widen(p.logits(b, k)) - peak) / sum;
      p.dlogits(b, k) = Dev::template narrow<T>(p.weight * (mass * share - static_cast<A>(p.target(b, k))));
    }
    if (dev.lane() == 0) p.losses[b] = loss;
  }
};

/// loss = weight · Σ losses, or += it: one warp.
template <class A>
struct LossKernel {
  static constexpr int kThreads = 32;

  struct Parameters {
    const A* losses;  // [count]
    double* loss;
    double weight;
    Index count;
    bool add;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    double sum = 0;
    for (Index b = dev.lane(); b < p.count; b += 32) sum += static_cast<double>(p.losses[b]);
    sum = sum_of_warp(dev, sum);
    if (dev.lane() == 0) *p.loss = (p.add ? *p.loss : 0) + p.weight * sum;
  }
};

/// What each label counts of a loss: 1/labelled, or if that is 0 one share of all that there are. One warp.
struct LabelShareKernel {
  static constexpr int kThreads = 32;

  struct Parameters {
    const Index* labels;  // [count]
    Index count, labelled;
    double* share;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    int labelled = 0;
    for (Index r = dev.lane(); r < p.count; r += 32) labelled += p.labels[r] >= 0 ? 1 : 0;
    labelled = sum_of_warp(dev, labelled);
    if (dev.lane() != 0) return;
    const double among = p.labelled > 0 ? static_cast<double>(p.labelled) : static_cast<double>(labelled);
    *p.share = among > 0 ? 1 / among : 0;
  }
};

/// The share of its label's id, and nothing of others; of rows without a label nothing at all.
struct SharedLabels {
  const Index* labels;
  const double* share;
  LION_HOST_DEVICE double operator()(Index b, Index k) const { return k == labels[b] ? *share : 0; }
};

/// Labels that count 1/labelled each, or if that is 0 one share of all that are at least 0; others are none. `share` is
/// memory of the device.
template <class Queue>
SharedLabels shared_labels(const Queue& queue, std::span<const Index> labels, Index labelled, double* share) {
  queue.template launch<LabelShareKernel>("label_share", {1, 1, 1}, 0,
                                          {labels.data(), static_cast<Index>(labels.size()), labelled, share});
  return {labels.data(), share};
}

/// *loss = weight · Σ_b −Σ_k target(b,k) log softmax(logits)_k, or += it if `add`, and its gradient to dlogits [B,K].
/// `target` is train::detail's SmoothedLabels or SoftTargets<float>, over memory of the device, or SharedLabels;
/// `losses` [B] is scratch. dlogits may be logits.
template <class T, class Target, class Queue>
void weighted_cross_entropy(const Queue& queue, const View<const T, 2>& logits, const Target& target, double weight,
                            const View<T, 2>& dlogits, accumulator_t<T>* losses, double* loss, bool add = false) {
  using A = accumulator_t<T>;
  using Kernel = CrossEntropyKernel<T, Target>;
  queue.template launch<Kernel>("cross_entropy", {blocks_of(logits.extent(0), kRowsOfBlock), 1, 1}, 0,
                                {logits, target, static_cast<A>(weight), dlogits, losses});
  queue.template launch<LossKernel<A>>("loss", {1, 1, 1}, 0, {losses, loss, weight, logits.extent(0), add});
}

}  // namespace lion::cuda
