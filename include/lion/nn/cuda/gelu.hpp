#pragma once
/// The exact GELU of nn/gelu.hpp on the GPU.

#include <numbers>

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// x·Φ(x) in place of each of n neighbours x; they begin at a multiple of 16 bytes.
template <class T>
struct GeluKernel {
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
      for (A& value : values) value = gelu<Dev>(value);
      store_pack<Dev>(p.x + first, values);
    } else {
      for (Index i = first; i < p.count; ++i) p.x[i] = Dev::template narrow<T>(gelu<Dev>(Dev::widen(p.x[i])));
    }
  }

 private:
  template <class Dev>
  LION_DEVICE static A gelu(A x) {
    return x * A(0.5) * Dev::erfc(x * -(std::numbers::sqrt2_v<A> / 2));
  }
};

/// GELU in place of x [N,C], dense.
template <class T, class Queue>
void gelu(const Queue& queue, const View<T, 2>& x) {
  const Index count = x.size();
  queue.template launch<GeluKernel<T>>("gelu", {blocks_of(count, GeluKernel<T>::kThreads * kPack<T>), 1, 1}, 0,
                                       {x.data(), count});
}

}  // namespace lion::cuda
