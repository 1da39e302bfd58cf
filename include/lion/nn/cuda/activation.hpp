#pragma once
/// Functions of single entries on the GPU: the exact GELU of nn/gelu.hpp, and tanh.

#include <numbers>

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// x·Φ(x).
struct Gelu {
  static constexpr const char* name = "gelu";
  template <class Dev, class A>
  LION_DEVICE static A entry(A x) {
    return x * A(0.5) * Dev::erfc(x * -(std::numbers::sqrt2_v<A> / 2));
  }
};

struct Tanh {
  static constexpr const char* name = "tanh";
  template <class Dev, class A>
  LION_DEVICE static A entry(A x) {
    return Dev::tanh(x);
  }
};

/// F in place of each of n neighbours x; they begin at a multiple of 16 bytes.
template <class T, class F>
struct ActivationKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    T* x;
    Index count;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    constexpr int n = kPack<T>;
    const Index first = (dev.block(0) * kThreads + dev.thread()) * n;
    if (first + n <= p.count) {
      A values[n];
      load_pack<Dev>(p.x + first, values);
      LION_UNROLL
      for (A& value : values) value = F::template entry<Dev>(value);
      store_pack<Dev>(p.x + first, values);
    } else {
      for (Index i = first; i < p.count; ++i) {
        p.x[i] = Dev::template narrow<T>(F::template entry<Dev>(Dev::widen(p.x[i])));
      }
    }
  }
};

/// F in place of x [N,C], dense.
template <class F, class T, class Queue>
void activate(const Queue& queue, const View<T, 2>& x) {
  using Kernel = ActivationKernel<T, F>;
  const Index count = x.size();
  queue.template launch<Kernel>(F::name, {blocks_of(count, Kernel::kThreads * kPack<T>), 1, 1}, 0, {x.data(), count});
}

}  // namespace lion::cuda
