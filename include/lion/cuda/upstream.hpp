#pragma once
/// Upstream rows dn' = [dn, dd] = w [dy, c] (math.md §4): dy as the caller has it, and two scalars per row, w = 1/(R δ)
/// and c = −dy·y, made by the kernels below or by the forward pass that is run again (cuda/finish.hpp). The weights
/// stay apart so that 16-bit products round dy and not dy/δ, which half may not hold.

#include <cmath>
#include <concepts>

#include "lion/cuda/tile.hpp"

namespace lion::cuda {

template <class T>
struct Upstream {
  using A = accumulator_t<T>;

  Tokens<const T> dy;
  A* weights = nullptr;  // [B, H, L] w, or none: `share` for all rows
  A* slopes = nullptr;   // [B, H, L] c, or none: 0
  A* units = nullptr;    // [B, H] powers of two near the largest weight, or none: 1
  Index heads = 0, length = 0;
  A share = 1;  ///< 1/R of R orders

  LION_DEVICE Index at(Index b, Index h, Index t) const { return (b * heads + h) * length + t; }
  LION_DEVICE A weight(Index b, Index h, Index t) const { return weights ? weights[at(b, h, t)] : share; }
  LION_DEVICE A slope(Index b, Index h, Index t) const { return slopes ? slopes[at(b, h, t)] : A(0); }

  /// In units of this the weights of a head are at most 1, in half's range: sums of rows are kept in them.
  LION_DEVICE A unit(Index b, Index h) const { return units ? units[b * heads + h] : A(1); }

  /// The weight in units of the head. Rows that see next to nothing have no say in the unit and may be far above it:
  /// what they see is multiplied by 0, and may not be infinite.
  LION_DEVICE A in_units(Index b, Index h, Index t) const {
    const A weight = this->weight(b, h, t);
    if (!units) return weight;
    constexpr A kMost = 256;
    const A value = weight / units[b * heads + h];
    return value > kMost ? kMost : value < -kMost ? -kMost : value;
  }
};

/// Weights and slopes from y and δ as the forward pass gave them, or slopes alone if there is no room for weights;
/// eight lanes for each row, each with 16 bytes at a time.
template <class T>
struct UpstreamKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 128;
  static constexpr int kLanes = 8, kRows = kThreads / kLanes;  // of a row, of a block

  struct Parameters {
    Upstream<T> upstream;
    Tokens<const T> y;
    View<const A, 3> row_sum;  ///< [B,H,L]
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Upstream<T>& u = p.upstream;
    constexpr int kVector = 16 / static_cast<int>(sizeof(T));
    using Vector = Neighbours<T, kVector>;
    const Index t = dev.block(0) * kRows + dev.thread() / kLanes, h = dev.block(1), b = dev.block(2);
    const int lane = dev.thread() % kLanes, width = t < u.length ? p.y.width : 0;
    const T *dy = u.dy.row(b, h, t), *y = p.y.row(b, h, t);
    A sum = 0;
    for (int first = lane * kVector; first < width; first += kLanes * kVector) {
      if (u.dy.aligned && p.y.aligned && first + kVector <= width) {
        const Vector x = *reinterpret_cast<const Vector*>(dy + first), z = *reinterpret_cast<const Vector*>(y + first);
        LION_UNROLL
        for (int e = 0; e < kVector; ++e) sum += Dev::widen(x.values[e]) * Dev::widen(z.values[e]);
      } else {
        for (int e = first; e < width && e < first + kVector; ++e) sum += Dev::widen(dy[e]) * Dev::widen(y[e]);
      }
    }
    LION_UNROLL
    for (int by = kLanes / 2; by > 0; by /= 2) sum += dev.shuffle_xor(sum, by);
    if (lane != 0 || t >= u.length) return;
    u.slopes[u.at(b, h, t)] = -sum;
    if (!u.weights) return;
    const A delta = p.row_sum(b, h, t);
    u.weights[u.at(b, h, t)] = delta == A(0) ? A(0) : u.share / delta;
  }
};

/// The units of heads, of which each has a block: the power of two above the largest weight of a row whose sum is more
/// than ε, or, where there is none, of any row.
template <class T>
struct UnitKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    Upstream<T> upstream;
    A epsilon = 0;
  };

  struct Shared {
    A *most, *of_all;  // [warps]
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : most(arena.take<A>(kThreads / 32)), of_all(arena.take<A>(kThreads / 32)) {}
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    SharedArena arena(dev.shared());
    const Shared shared(arena);
    const Upstream<T>& u = p.upstream;
    const Index h = dev.block(0), b = dev.block(1);
    A most = 0, of_all = 0;
    for (Index t = dev.thread(); t < u.length; t += dev.threads()) {
      const A weight = u.weight(b, h, t), size = weight < A(0) ? -weight : weight;
      of_all = size > of_all ? size : of_all;
      if (size * A(2) * p.epsilon < u.share) most = size > most ? size : most;
    }
    LION_UNROLL
    for (int by = 16; by > 0; by /= 2) {
      const A other = dev.shuffle_xor(most, by), other_of_all = dev.shuffle_xor(of_all, by);
      most = other > most ? other : most;
      of_all = other_of_all > of_all ? other_of_all : of_all;
    }
    if (dev.lane() == 0) {
      shared.most[dev.warp()] = most;
      shared.of_all[dev.warp()] = of_all;
    }
    dev.barrier();
    if (dev.thread() != 0) return;
    for (int w = 0; w < kThreads / 32; ++w) {
      most = shared.most[w] > most ? shared.most[w] : most;
      of_all = shared.of_all[w] > of_all ? shared.of_all[w] : of_all;
    }
    if (most == A(0)) most = of_all;
    constexpr int kMost = 126;  // beyond it a power of two or its inverse is no normal float
    const int exponent = most > A(0) ? std::ilogb(most) + 1 : 0;
    u.units[b * u.heads + h] = std::ldexp(A(1), exponent > kMost ? kMost : exponent < -kMost ? -kMost : exponent);
  }
};

}  // namespace lion::cuda
