#pragma once
/// Kernels that do one thing each, to hold the primitives of a device type to their definitions.

#include <cstddef>

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::simt {

/// Where each thread is.
struct Places {
  struct Parameters {
    Index* out;  // [blocks, threads]
    Index blocks_x, blocks_y;
  };
  static constexpr int kThreads = 64;

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index block = (dev.block(2) * p.blocks_y + dev.block(1)) * p.blocks_x + dev.block(0);
    p.out[block * dev.threads() + dev.thread()] = dev.warp() * 1000 + dev.lane();
  }
};

/// Values from other lanes.
template <class A>
struct Shuffles {
  struct Parameters {
    A* out;  // [3, 5, threads]
  };
  static constexpr int kThreads = 64;

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const A mine = static_cast<A>(3 * dev.thread() + 1);
    for (int i = 0; i < 5; ++i) {
      const int by = 1 << i;
      A* out = p.out + i * dev.threads() + dev.thread();
      out[0] = dev.shuffle(mine, by * dev.lane() + 3);
      out[5 * dev.threads()] = dev.shuffle_up(mine, by);
      out[10 * dev.threads()] = dev.shuffle_xor(mine, by);
    }
  }
};

/// Tensor cores: d += a·b, from rows in shared memory.
template <class T>
struct Product {
  struct Parameters {
    const T* a;  // [16,16]
    const T* b;  // [16,8]
    float* d;    // [16,8], added to
  };
  static constexpr int kThreads = 32;
  static constexpr std::size_t kSharedBytes = (16 * 16 + 16 * 8) * sizeof(T);

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    T* a = reinterpret_cast<T*>(dev.shared());
    T* b = a + 16 * 16;
    const int lane = dev.lane();
    dev.copy_async(a + 8 * lane, p.a + 8 * lane, true);
    if (lane < 16) dev.copy_async(b + 8 * lane, p.b + 8 * lane, true);
    dev.commit();
    dev.template wait<0>();
    dev.barrier();

    unsigned fragment_a[4];
    unsigned fragment_b[2];
    dev.template load_matrices<false>(a + lane % 16 * 16 + lane / 16 * 8, 0, fragment_a);
    dev.template load_matrices<true>(b + lane % 16 * 8, 0, fragment_b);
    float d[4];
    float* out = p.d + lane / 4 * 8 + lane % 4 * 2;
    for (int i = 0; i < 4; ++i) d[i] = out[i / 2 * 64 + i % 2];
    dev.template multiply<T>(d, fragment_a, fragment_b);
    for (int i = 0; i < 4; ++i) out[i / 2 * 64 + i % 2] = d[i];
  }
};

/// N matrices whose element (m, r, c) is the number 64 m + 8 r + c, loaded; their rows lie in an order of their own.
template <bool transposed, std::size_t N>
struct Load {
  struct Parameters {
    unsigned* out;  // [32, N]
  };
  static constexpr int kThreads = 32;
  static constexpr std::size_t kSharedBytes = N * 64 * sizeof(half);

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    half* shared = reinterpret_cast<half*>(dev.shared());
    const int rows = 8 * static_cast<int>(N);
    const int row = dev.lane() < rows ? dev.lane() * 5 % rows : 0;  // where the row of this lane lies
    for (int c = 0; c < 8 && dev.lane() < rows; ++c) {
      shared[row * 8 + c] = dev.template narrow<half>(static_cast<float>(dev.lane() * 8 + c));
    }
    dev.warp_barrier();
    unsigned to[N];
    dev.template load_matrices<transposed>(dev.lane() < rows ? shared + row * 8 : nullptr, 0, to);
    for (std::size_t i = 0; i < N; ++i) p.out[static_cast<std::size_t>(dev.lane()) * N + i] = to[i];
  }
};

/// Each warp reads what another wrote, twice over: with or without the barriers that this takes.
struct Rotate {
  struct Parameters {
    bool before, after;  // whether there is a barrier before the reads, and after them
    int* out;            // [2, threads]
  };
  static constexpr int kThreads = 128;
  static constexpr std::size_t kSharedBytes = kThreads * sizeof(int);

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    int* shared = reinterpret_cast<int*>(dev.shared());
    for (int round = 0; round < 2; ++round) {
      shared[dev.thread()] = 1000 * round + dev.thread();
      if (p.before) dev.barrier();
      p.out[round * kThreads + dev.thread()] = shared[(dev.thread() + 32) % kThreads];
      if (p.after) dev.barrier();
    }
  }
};

/// Numbers widened, narrowed, packed and raised; and copied, every other 16 bytes of them.
template <class T>
struct Values {
  struct Parameters {
    const float* in;   // [threads]
    T* narrow;         // [threads]
    float* wide;       // [threads], of those narrowed
    unsigned* packed;  // [threads], each with twice itself
    float* exp;        // [threads]
    float* erfc;       // [threads]
    float* log1p;      // [threads], of magnitudes
    float* sqrt;       // [threads], of magnitudes
    float* tanh;       // [threads]
    float* copied;     // [threads]
  };
  static constexpr int kThreads = 64;
  static constexpr std::size_t kSharedBytes = kThreads * sizeof(float);

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const int t = dev.thread();
    const float x = p.in[t];
    p.narrow[t] = Dev::template narrow<T>(x);
    p.wide[t] = Dev::widen(p.narrow[t]);
    p.packed[t] = Dev::template pack<T>(x, 2 * x);
    p.exp[t] = (Dev::max)(Dev::exp(x), 0.0f);
    p.erfc[t] = Dev::erfc(x);
    p.log1p[t] = Dev::log1p((Dev::max)(x, -x));
    p.sqrt[t] = Dev::sqrt((Dev::max)(x, -x));
    p.tanh[t] = Dev::tanh(x);
    float* shared = reinterpret_cast<float*>(dev.shared());
    if (t < kThreads / 4) dev.copy_async(shared + 4 * t, p.in + 4 * t, t % 2 == 0);
    dev.commit();
    dev.template wait<0>();
    dev.barrier();
    p.copied[t] = shared[t];
  }
};

}  // namespace lion::simt
