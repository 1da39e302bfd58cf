#pragma once
/// Feature maps of q and k on the GPU.

#include "lion/cuda/call.hpp"
#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// A warp for each head of q or k of a token, in place: heads of up to kWidest entries, n of which a lane has at once.
template <class T, class Feature, int n>
struct FeatureKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;

  struct Parameters {
    View<T, 2> qkv;     // [N,3C]
    Index heads, head;  // of q and k together, and the entries of one
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    constexpr int kPacks = static_cast<int>(kWidest) / (32 * n);
    const Index at = dev.block(0) * kRowsOfBlock + dev.warp(), t = at / p.heads;
    if (t >= p.qkv.extent(0)) return;
    T* row = p.qkv.at(t, at % p.heads * p.head);
    const Index first = Index(n) * dev.lane();
    A values[kPacks][n] = {};
    A square = 0;
    LION_UNROLL
    for (int j = 0; j < kPacks; ++j) {
      const Index c = first + 32 * n * j;
      if (c >= p.head) continue;
      load_pack<Dev>(row + c, values[j]);
      LION_UNROLL
      for (A& value : values[j]) {
        value = Feature::template entry<Dev>(value);
        square += value * value;
      }
    }
    A scale = 1;
    if constexpr (Feature::normalised) scale = A(1) / Dev::sqrt(sum_of_warp(dev, square));
    LION_UNROLL
    for (int j = 0; j < kPacks; ++j) {
      const Index c = first + 32 * n * j;
      if (c >= p.head) continue;
      LION_UNROLL
      for (A& value : values[j]) value *= scale;
      store_pack<Dev>(row + c, values[j]);
    }
  }
};

/// φ(q), φ(k) in place of columns 0 … 2C of qkv [N,3C], dense.
template <class Feature, class T, class Queue>
void features(const Queue& queue, const View<T, 2>& qkv, Index heads) {
  const Index head = qkv.extent(1) / 3 / heads;
  const auto launch = [&](auto n) {
    queue.template launch<FeatureKernel<T, Feature, n>>(
        "features", {blocks_of(qkv.extent(0) * 2 * heads, kRowsOfBlock), 1, 1}, 0, {qkv, 2 * heads, head});
  };
  if (head % 2 == 0) return launch(std::integral_constant<int, 2>());
  launch(std::integral_constant<int, 1>());
}

}  // namespace lion::cuda
