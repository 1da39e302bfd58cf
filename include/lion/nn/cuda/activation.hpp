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
    return x * below<Dev>(x);
  }

  /// Φ(x) + x·φ(x).
  template <class Dev, class A>
  LION_DEVICE static A slope(A x) {
    constexpr A kDensity = A(0.5) * std::numbers::inv_sqrtpi_v<A> * std::numbers::sqrt2_v<A>;  // 1/√(2π)
    return below<Dev>(x) + x * kDensity * Dev::exp(A(-0.5) * x * x);
  }

 private:
  /// Φ(x).
  template <class Dev, class A>
  LION_DEVICE static A below(A x) {
    return A(0.5) * Dev::erfc(x * -(std::numbers::sqrt2_v<A> / 2));
  }
};

struct Tanh {
  static constexpr const char* name = "tanh";
  template <class Dev, class A>
  LION_DEVICE static A entry(A x) {
    return Dev::tanh(x);
  }
};

/// to = F of each of n neighbours, or to *= its slope; they begin at a multiple of 16 bytes, and both may be one.
template <class T, class F, bool gradient = false>
struct ActivationKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    const T* x;
    T* to;
    Index count;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    constexpr int n = kPack<T>;
    const Index first = (dev.block(0) * kThreads + dev.thread()) * n;
    if (first + n <= p.count) {
      A values[n], upstream[n] = {};
      load_pack<Dev>(p.x + first, values);
      if constexpr (gradient) load_pack<Dev>(p.to + first, upstream);
      LION_UNROLL
      for (int i = 0; i < n; ++i) values[i] = of<Dev>(values[i], upstream[i]);
      store_pack<Dev>(p.to + first, values);
    } else {
      for (Index i = first; i < p.count; ++i) {
        p.to[i] = Dev::template narrow<T>(of<Dev>(Dev::widen(p.x[i]), gradient ? Dev::widen(p.to[i]) : A(0)));
      }
    }
  }

 private:
  template <class Dev>
  LION_DEVICE static A of(A x, [[maybe_unused]] A upstream) {
    if constexpr (gradient) {
      return upstream * F::template slope<Dev>(x);
    } else {
      return F::template entry<Dev>(x);
    }
  }
};

/// to = F(x), both dense [N,C]; they may be one.
template <class F, class T, class Queue>
void activate(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& to) {
  using Kernel = ActivationKernel<T, F>;
  const Index count = x.size();
  queue.template launch<Kernel>(F::name, {blocks_of(count, Kernel::kThreads * kPack<T>), 1, 1}, 0,
                                {x.data(), to.data(), count});
}
template <class F, class T, class Queue>
void activate(const Queue& queue, const View<T, 2>& x) {
  activate<F, T>(queue, x, x);
}

/// dy *= F'(x), both dense [N,C].
template <class F, class T, class Queue>
void activate_backward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& dy) {
  using Kernel = ActivationKernel<T, F, true>;
  const Index count = x.size();
  queue.template launch<Kernel>("activation_gradient", {blocks_of(count, Kernel::kThreads * kPack<T>), 1, 1}, 0,
                                {x.data(), dy.data(), count});
}

}  // namespace lion::cuda
