#pragma once
/// Feature maps of q and k on the GPU.

#include "lion/cuda/call.hpp"
#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// A warp for each head of q or k of a token; `to` may be `from`: heads of up to kWidest entries, n of which a lane has
/// at once.
template <class T, class Feature, int n>
struct FeatureKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;

  struct Parameters {
    View<const T, 2> from;  // [N,2C and more]
    View<T, 2> to;          // [N,2C and more]
    Index heads, head;      // of q and k together, and the entries of one
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    constexpr int kPacks = static_cast<int>(kWidest) / (32 * n);
    const Index at = dev.block(0) * kRowsOfBlock + dev.warp(), t = at / p.heads;
    if (t >= p.to.extent(0)) return;
    const T* row = p.from.at(t, at % p.heads * p.head);
    T* to = p.to.at(t, at % p.heads * p.head);
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
      store_pack<Dev>(to + c, values[j]);
    }
  }
};

/// The gradient of q and k from that of φ(q), φ(k), in its place: dx = dr·slope(x), where dr is dy or, if the row
/// r = entry(x) is divided by its norm, (dy − r (r·dy)/‖r‖²)/‖r‖.
template <class T, class Feature, int n>
struct FeatureGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocks = 2;  // left to itself the compiler saves registers by spilling some

  struct Parameters {
    View<const T, 2> x;  // [N,2C and more]
    View<T, 2> dy;       // [N,2C and more]
    Index heads, head;   // as FeatureKernel's
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index at = dev.block(0) * kRowsOfBlock + dev.warp(), t = at / p.heads;
    if (t >= p.dy.extent(0)) return;
    const T* x = p.x.at(t, at % p.heads * p.head);
    T* dy = p.dy.at(t, at % p.heads * p.head);
    A scale = 1, project = 0, values[n], upstream[n];
    const Index first = Index(n) * dev.lane();
    if constexpr (Feature::normalised) {
      A square = 0, along = 0;
      for (Index c = first; c < p.head; c += 32 * n) {
        load_pack<Dev>(x + c, values);
        load_pack<Dev>(dy + c, upstream);
        LION_UNROLL
        for (int i = 0; i < n; ++i) {
          const A r = Feature::template entry<Dev>(values[i]);
          square += r * r;
          along += r * upstream[i];
        }
      }
      square = sum_of_warp(dev, square);
      scale = A(1) / Dev::sqrt(square);
      project = sum_of_warp(dev, along) / square;
    }
    for (Index c = first; c < p.head; c += 32 * n) {
      load_pack<Dev>(x + c, values);
      load_pack<Dev>(dy + c, upstream);
      LION_UNROLL
      for (int i = 0; i < n; ++i) {
        if constexpr (Feature::normalised) upstream[i] -= Feature::template entry<Dev>(values[i]) * project;
        values[i] = upstream[i] * scale * Feature::template slope<Dev>(values[i]);
      }
      store_pack<Dev>(dy + c, values);
    }
  }
};

namespace detail {
/// f(std::integral_constant<int, n>) with n neighbours of a head at once, where every head begins at an even column.
template <class F>
void with_head_pack(Index head, F&& f) {
  if (head % 2 == 0) return f(std::integral_constant<int, 2>());
  f(std::integral_constant<int, 1>());
}
}  // namespace detail

/// φ(q), φ(k) of columns 0 … 2C of qkv [N,3C], to those of `to`, which may be qkv; both dense.
template <class Feature, class T, class Queue>
void features(const Queue& queue, const View<const T, 2>& qkv, const View<T, 2>& to, Index heads) {
  const Index head = qkv.extent(1) / 3 / heads;
  detail::with_head_pack(head, [&](auto n) {
    queue.template launch<FeatureKernel<T, Feature, n>>(
        "features", {blocks_of(qkv.extent(0) * 2 * heads, kRowsOfBlock), 1, 1}, 0, {qkv, to, 2 * heads, head});
  });
}

/// dq, dk in place of dφ(q), dφ(k), columns 0 … 2C of dqkv [N,3C]; both dense.
template <class Feature, class T, class Queue>
void features_backward(const Queue& queue, const View<const T, 2>& qkv, const View<T, 2>& dqkv, Index heads) {
  const Index head = qkv.extent(1) / 3 / heads;
  detail::with_head_pack(head, [&](auto n) {
    queue.template launch<FeatureGradientKernel<T, Feature, n>>(
        "features_gradient", {blocks_of(qkv.extent(0) * 2 * heads, kRowsOfBlock), 1, 1}, 0,
        {qkv, dqkv, 2 * heads, head});
  });
}

}  // namespace lion::cuda
