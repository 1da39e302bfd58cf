#pragma once
/// The product behind linear layers and their gradients, and a plain kernel for it: what the emulation runs, and the
/// GPU where cuBLASLt has nothing to offer.

#include "lion/nn/cuda/rows.hpp"

namespace lion::cuda {

/// y = x Wᵀ + b + residual: x [N,I], W [O,I], b [O] or none, y [N,O] and residual, which is absent, y itself or apart
/// from it. One stride of x and of W is 1, so that either may be a matrix that lies the other way (`turned`): dx = dy W
/// has Wᵀ in W's place, dW = dyᵀ x has dyᵀ and xᵀ. y may be wider than what is multiplied: gradients of weights are
/// sums.
template <class T, class Out = T>
struct Product {
  View<const T, 2> x, weight;
  const T* bias;
  View<Out, 2> y;
  View<const Out, 2> residual{};
};

/// xᵀ of x.
template <class T>
View<T, 2> turned(const View<T, 2>& x) {
  return {x.data(), {x.extent(1), x.extent(0)}, {x.stride(1), x.stride(0)}};
}

/// A block for 64 rows and 64 outputs, 16 entries of the rows at a time in shared memory; 4×4 sums for each thread.
template <class T, class Out>
struct ProductKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;  // left to itself the compiler saves registers by spilling some
  static constexpr int kTile = 64, kDepth = 16, kSums = 4, kStride = kTile + 4;
  static constexpr std::size_t kSharedBytes = 2 * kDepth * kStride * sizeof(A);
  using Parameters = Product<T, Out>;

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index row = dev.block(0) * kTile, out = dev.block(1) * kTile, depth = p.x.extent(1);
    A* left = reinterpret_cast<A*>(dev.shared());  // [kDepth, kTile] of x
    A* right = left + kDepth * kStride;            // [kDepth, kTile] of W
    const int first_row = dev.thread() / 16 * kSums, first_out = dev.thread() % 16 * kSums;
    A sums[kSums][kSums] = {};
    for (Index at = 0; at < depth; at += kDepth) {
      const int k = dev.thread() % kDepth;
      for (int i = dev.thread() / kDepth; i < kTile; i += kThreads / kDepth) {
        const bool inside = at + k < depth;
        left[k * kStride + i] = inside && row + i < p.y.extent(0) ? Dev::widen(p.x(row + i, at + k)) : A(0);
        right[k * kStride + i] = inside && out + i < p.y.extent(1) ? Dev::widen(p.weight(out + i, at + k)) : A(0);
      }
      dev.barrier();
      for (int d = 0; d < kDepth; ++d) {
        LION_UNROLL
        for (int i = 0; i < kSums; ++i) {
          LION_UNROLL
          for (int j = 0; j < kSums; ++j) {
            sums[i][j] += left[d * kStride + first_row + i] * right[d * kStride + first_out + j];
          }
        }
      }
      dev.barrier();
    }
    LION_UNROLL
    for (int i = 0; i < kSums; ++i) {
      LION_UNROLL
      for (int j = 0; j < kSums; ++j) {
        const Index r = row + first_row + i, o = out + first_out + j;
        if (r >= p.y.extent(0) || o >= p.y.extent(1)) continue;
        A sum = sums[i][j];
        if (p.bias) sum += Dev::widen(p.bias[o]);
        if (p.residual) sum += Dev::widen(p.residual(r, o));
        p.y(r, o) = Dev::template narrow<Out>(sum);
      }
    }
  }
};

template <class T, class Out, class Launcher>
void plain_product(const Launcher& launcher, const Product<T, Out>& p) {
  using Kernel = ProductKernel<T, Out>;
  launcher.template launch<Kernel>(
      "product", {blocks_of(p.y.extent(0), Kernel::kTile), blocks_of(p.y.extent(1), Kernel::kTile), 1},
      Kernel::kSharedBytes, p);
}

}  // namespace lion::cuda
