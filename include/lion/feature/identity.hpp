#pragma once
/// φ(x) = x: text models (math.md §5).

#include <algorithm>
#include <string_view>

#include "lion/core/scalar.hpp"

namespace lion::feature {

/// Nothing is done to the vectors.
struct Identity {
  static constexpr std::string_view name = "identity";

  /// y = x, both [n]; y may be x.
  template <Real A>
  static void forward(const A* x, A* y, Index n) {
    if (y != x) std::copy_n(x, n, y);
  }

  /// dx = dy, both [n]; dx may be dy.
  template <Real A>
  static void backward(const A* /*x*/, const A* dy, A* dx, Index n) {
    if (dx != dy) std::copy_n(dy, n, dx);
  }
};

}  // namespace lion::feature
