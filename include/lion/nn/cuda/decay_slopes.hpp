#pragma once
/// Kernels behind the gradients of decays, and of their weights, on the GPU (cuda/decays.hpp).

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

namespace detail {
template <class A>
LION_DEVICE A magnitude(A x) {
  return x < A(0) ? -x : x;
}
}  // namespace detail

/// log σ(x), without overflow or cancellation.
template <class Dev, class A>
LION_DEVICE A log_sigmoid(A x) {
  return (Dev::min)(x, A(0)) - Dev::log1p(Dev::exp(-detail::magnitude(x)));
}

/// LION-D: log λ = log σ(a); or, with a gradient, what reaches a: d log σ(a)/da = σ(-a). A thread for each.
template <class A>
struct HeadDecaysKernel {
  static constexpr int kThreads = 128;

  struct Parameters {
    const A* a;     // [count]
    A* log_lambda;  // [count], or its gradient
    A* gradient;    // [count] of a, added to; or none
    Index count;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index i = dev.block(0) * kThreads + dev.thread();
    if (i >= p.count) return;
    if (p.gradient) {
      p.gradient[i] += p.log_lambda[i] / (A(1) + Dev::exp(p.a[i]));
    } else {
      p.log_lambda[i] = log_sigmoid<Dev>(p.a[i]);
    }
  }
};

/// LION-S: the gradient of x from that of log λ, in its place. With λ = σ(-x) + f below 1, d log λ / dx =
/// -(λ - f)(1 - λ + f) / λ; a λ that was cut at 1, and a class token's, has none. A thread for each.
template <class A>
struct DecaySlopesKernel {
  static constexpr int kThreads = 256;

  struct Parameters {
    const A* log_lambda;  // [count]
    A* gradient;          // [count]
    Index count;
    A floor;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index i = dev.block(0) * kThreads + dev.thread();
    if (i >= p.count) return;
    const A value = p.log_lambda[i];
    A slope = Dev::expm1(value);
    if (p.floor > A(0)) slope = value < A(0) ? (slope - p.floor) * (A(1) - p.floor * Dev::exp(-value)) : A(0);
    p.gradient[i] *= slope;
  }
};

/// What the gradients of the weights [R·H,C] behind x [R,N,H] are sums of: four outputs of one column at a time.
template <class T>
struct DecayColumns {
  using A = accumulator_t<T>;
  static constexpr int kSums = 4;
  View<const T, 2> z;    // [N,C]
  const A* slopes;       // [R,N,H]
  Index heads, outputs;  // H, R·H

  template <class Dev>
  LION_DEVICE void add(Index t, Index c, Index group, A (&sums)[kSums]) const {
    const A value = Dev::widen(z(t, c));
    LION_UNROLL
    for (int s = 0; s < kSums; ++s) {
      const Index o = group * kSums + s;
      if (o < outputs) sums[s] += value * slopes[(o / heads * z.extent(0) + t) * heads + o % heads];
    }
  }
};

/// dz [N,C] += what reaches z: a thread for n neighbours.
template <class T, int n>
struct DecayInputGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    View<T, 2> dz;        // [N,C]
    const A* slopes;      // [R,N,H]
    const T* weight;      // [R·H,C]
    Index heads, orders;  // H, R
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index width = p.dz.extent(1), packs = width / n, at = dev.block(0) * kThreads + dev.thread();
    const Index t = at / packs, column = at % packs * n;
    if (t >= p.dz.extent(0)) return;
    A values[n], weight[n];
    load_pack<Dev>(p.dz.at(t, column), values);
    const T* row = p.weight + column;
    for (Index r = 0; r < p.orders; ++r) {
      const A* slopes = p.slopes + (r * p.dz.extent(0) + t) * p.heads;
      for (Index h = 0; h < p.heads; ++h, row += width) {
        load_pack<Dev>(row, weight);
        LION_UNROLL
        for (int i = 0; i < n; ++i) values[i] += slopes[h] * weight[i];
      }
    }
    store_pack<Dev>(p.dz.at(t, column), values);
  }
};

}  // namespace lion::cuda
