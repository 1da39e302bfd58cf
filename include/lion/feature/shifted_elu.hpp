#pragma once
/// φ(x) = ELU(x) + 1: LION-LIT in vision (math.md §5).

#include <Eigen/Core>
#include <string_view>

#include "lion/core/scalar.hpp"

namespace lion::feature {

/// x + 1 for x > 0, e^x otherwise: positive everywhere.
struct ShiftedElu {
  static constexpr std::string_view name = "shifted_elu";

  /// y = φ(x), both [n]; y may be x.
  template <Real A>
  static void forward(const A* x, A* y, Index n) {
    using Array = Eigen::Array<A, Eigen::Dynamic, 1>;
    const Eigen::Map<const Array> in(x, n);
    // Both branches are one expression: e^min(x,0) is 1 where x > 0, max(x,0) is 0 elsewhere.
    Eigen::Map<Array>(y, n) = (in.min)(A(0)).exp() + (in.max)(A(0));
  }

  /// dx = φ'(x) dy, all [n]; dx may be dy.
  template <Real A>
  static void backward(const A* x, const A* dy, A* dx, Index n) {
    using Array = Eigen::Array<A, Eigen::Dynamic, 1>;
    const Eigen::Map<const Array> in(x, n), upstream(dy, n);
    Eigen::Map<Array>(dx, n) = (in.min)(A(0)).exp() * upstream;
  }
};

}  // namespace lion::feature
