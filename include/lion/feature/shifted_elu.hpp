#pragma once
/// φ(x) = ELU(x) + 1: LION-LIT in vision (math.md §5).

#include <Eigen/Core>
#include <algorithm>
#include <string_view>

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::feature {

/// x + 1 for x > 0, e^x otherwise: positive everywhere.
struct ShiftedElu {
  static constexpr std::string_view name = "shifted_elu";
  static constexpr bool normalised = false;

  /// φ of one entry, in the functions of Dev (cuda/gpu.hpp).
  template <class Dev, Real A>
  LION_DEVICE static A entry(A x) {
    return Dev::exp((Dev::min)(x, A(0))) + (Dev::max)(x, A(0));
  }
  template <class Dev, Real A>
  LION_DEVICE static A slope(A x) {
    return Dev::exp((Dev::min)(x, A(0)));
  }

  /// y = φ(x), both [n]; y may be x.
  template <Real A>
  static void forward(const A* x, A* y, Index n) {
    for_each_block<A>(x, y, n, [](const auto& in, Index, Block<A>& out) {
      // Both branches are one expression: e^min(x,0) is 1 where x > 0, max(x,0) is 0 elsewhere.
      out = (in.min)(A(0)).exp() + (in.max)(A(0));
    });
  }

  /// dx = φ'(x) dy, all [n]; dx may be dy.
  template <Real A>
  static void backward(const A* x, const A* dy, A* dx, Index n) {
    for_each_block<A>(x, dx, n, [dy](const auto& in, Index at, Block<A>& out) {
      out = (in.min)(A(0)).exp() * Input<A>(dy + at, in.size());
    });
  }

 private:
  static constexpr Index kBlock = 256;
  template <class A>
  using Block = Eigen::Array<A, Eigen::Dynamic, 1, 0, kBlock, 1>;
  template <class A>
  using Input = Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>>;

  /// Through aligned values on the stack, for the same bits wherever the caller's rows lie.
  template <class A, class F>
  static void for_each_block(const A* x, A* y, Index n, F&& f) {
    Block<A> out;
    for (Index i = 0; i < n; i += kBlock) {
      const Index m = (std::min)(kBlock, n - i);
      f(Input<A>(x + i, m), i, out);
      std::copy_n(out.data(), m, y + i);
    }
  }
};

}  // namespace lion::feature
