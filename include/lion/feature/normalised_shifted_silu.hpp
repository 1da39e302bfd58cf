#pragma once
/// φ(x) = r/‖r‖₂ with r = SiLU(x) + ½: LION-D and LION-S in vision (math.md §5).

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <string_view>

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::feature {

/// The norm is over the n entries given, those of one head. SiLU ≥ -0.279, so r > 0 and the norm is never 0.
struct NormalisedShiftedSilu {
  static constexpr std::string_view name = "normalised_shifted_silu";
  static constexpr bool normalised = true;

  /// r of one entry, in the functions of Dev (cuda/gpu.hpp).
  template <class Dev, Real A>
  LION_DEVICE static A entry(A x) {
    return x / (A(1) + Dev::exp(-x)) + A(0.5);
  }
  template <class Dev, Real A>
  LION_DEVICE static A slope(A x) {
    const A gate = A(1) / (A(1) + Dev::exp(-x));
    return gate * (A(1) + x * (A(1) - gate));
  }

  /// y = φ(x), both [n]; y may be x.
  template <Real A>
  static void forward(const A* x, A* y, Index n) {
    Block<A> r;
    A square = 0;
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      const Input<A> in(x + i, m);
      r = in / (A(1) + (-in).exp()) + A(0.5);
      square += r.square().sum();
      if (n > kBlock) std::copy_n(r.data(), m, y + i);
    }
    const A scale = A(1) / std::sqrt(square);
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      if (n > kBlock) r = Input<A>(y + i, m);
      r *= scale;
      std::copy_n(r.data(), m, y + i);
    }
  }

  /// dx = φ'(x)ᵀ dy, all [n]; dx may be dy. With y = φ(x): dr = (dy - y (y·dy)) / ‖r‖, dx = dr · SiLU'(x).
  template <Real A>
  static void backward(const A* x, const A* dy, A* dx, Index n) {
    Block<A> gate, r;
    A square = 0, along = 0;  // ‖r‖², r·dy
    const auto derive = [&](Index i, Index m) {
      const Input<A> in(x + i, m);
      gate = (A(1) + (-in).exp()).inverse();
      r = in * gate + A(0.5);
    };
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      derive(i, m);
      square += r.square().sum();
      along += (r * Input<A>(dy + i, m)).sum();
    }
    const A scale = A(1) / std::sqrt(square), project = along / square;
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      if (n > kBlock) derive(i, m);
      const Input<A> in(x + i, m), upstream(dy + i, m);
      r = (upstream - r * project) * scale * (gate * (A(1) + in * (A(1) - gate)));
      std::copy_n(r.data(), m, dx + i);
    }
  }

 private:
  /// Values on the stack: rows that are longer compute their exponentials twice in backward. Being aligned, they give
  /// the same bits wherever the caller's rows lie.
  static constexpr Index kBlock = 256;
  template <class A>
  using Block = Eigen::Array<A, Eigen::Dynamic, 1, 0, kBlock, 1>;
  template <class A>
  using Input = Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>>;
};

}  // namespace lion::feature
