#pragma once
/// Matrix products on the CPU, the one place that calls Eigen's: in panels, so that nothing is allocated.

#include <Eigen/Core>
#include <algorithm>

#include "lion/core/scalar.hpp"

namespace lion::cpu {

/// Row-major matrix in someone else's memory, rows `outerStride()` apart.
template <class A>
using Matrix = Eigen::Map<Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;
template <class A>
using ConstMatrix =
    Eigen::Map<const Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;

template <class A>
Matrix<A> matrix(A* data, Index rows, Index cols, Index stride) {
  return Matrix<A>(data, rows, cols, Eigen::OuterStride<>(stride));
}
template <class A>
Matrix<A> matrix(A* data, Index rows, Index cols) {
  return matrix(data, rows, cols, cols);
}
template <class A>
ConstMatrix<A> matrix(const A* data, Index rows, Index cols, Index stride) {
  return ConstMatrix<A>(data, rows, cols, Eigen::OuterStride<>(stride));
}
template <class A>
ConstMatrix<A> matrix(const A* data, Index rows, Index cols) {
  return matrix(data, rows, cols, cols);
}

/// Largest extent of a panel: 128×128 doubles are the 128 KiB up to which Eigen packs on the stack.
inline constexpr Index kPanel = 128;

/// c += a·b, any sizes; a and b may be transposes. c must not overlap them.
template <class C, class A, class B>
void add_product(C&& c, const A& a, const B& b) {
  const Index m = a.rows(), n = b.cols(), depth = a.cols();
  if (m <= kPanel && n <= kPanel && depth <= kPanel) {
    if (depth > 0) c.noalias() += a * b;
    return;
  }
  for (Index i = 0; i < m; i += kPanel) {
    const Index rows = (std::min)(kPanel, m - i);
    for (Index j = 0; j < n; j += kPanel) {
      const Index cols = (std::min)(kPanel, n - j);
      for (Index p = 0; p < depth; p += kPanel) {
        const Index terms = (std::min)(kPanel, depth - p);
        c.block(i, j, rows, cols).noalias() += a.block(i, p, rows, terms) * b.block(p, j, terms, cols);
      }
    }
  }
}

/// c = a·b.
template <class C, class A, class B>
void set_product(C&& c, const A& a, const B& b) {
  c.setZero();
  add_product(c, a, b);
}

}  // namespace lion::cpu
