#pragma once
/// φ(x) = r/‖r‖₂ with r = SiLU(x) + ½: LION-D and LION-S in vision (math.md §5).

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <string_view>

#include "lion/core/scalar.hpp"

namespace lion::feature {

/// The norm is over the n entries given, those of one head. SiLU ≥ -0.279, so r > 0 and the norm is never 0.
struct NormalisedShiftedSilu {
  static constexpr std::string_view name = "normalised_shifted_silu";

  /// y = φ(x), both [n]; y may be x.
  template <Real A>
  static void forward(const A* x, A* y, Index n) {
    using Array = Eigen::Array<A, Eigen::Dynamic, 1>;
    const Eigen::Map<const Array> in(x, n);
    Eigen::Map<Array> out(y, n);
    out = in / (A(1) + (-in).exp()) + A(0.5);
    out *= A(1) / std::sqrt(out.square().sum());
  }

  /// dx = φ'(x)ᵀ dy, all [n]; dx may be dy. With y = φ(x): dr = (dy - y (y·dy)) / ‖r‖, dx = dr · SiLU'(x).
  template <Real A>
  static void backward(const A* x, const A* dy, A* dx, Index n) {
    constexpr Index kBlock = 256;  // sigmoids kept on the stack; longer rows compute them twice
    using Array = Eigen::Array<A, Eigen::Dynamic, 1>;
    using Input = Eigen::Map<const Array>;
    Eigen::Array<A, Eigen::Dynamic, 1, 0, kBlock, 1> gate;
    A square = 0, along = 0;  // ‖r‖², r·dy
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      gate = (A(1) + (-Input(x + i, m)).exp()).inverse();
      const auto r = Input(x + i, m) * gate + A(0.5);
      square += r.square().sum();
      along += (r * Input(dy + i, m)).sum();
    }
    const A scale = A(1) / std::sqrt(square), project = along / square;
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      const Input in(x + i, m), upstream(dy + i, m);
      if (n > kBlock) gate = (A(1) + (-in).exp()).inverse();
      Eigen::Map<Array>(dx + i, m) = (upstream - (in * gate + A(0.5)) * project) * scale *  //
                                     (gate * (A(1) + in * (A(1) - gate)));
    }
  }
};

}  // namespace lion::feature
