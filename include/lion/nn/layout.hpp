#pragma once
/// Matrices in an arena, and parts of them.

#include "lion/core/workspace.hpp"

namespace lion::nn {

/// Columns [first, first + count) of a matrix.
template <class T>
View<T, 2> columns(const View<T, 2>& x, Index first, Index count) {
  return View<T, 2>(x.at(0, first), {x.extent(0), count}, x.strides());
}

/// Rows [first, first + count) of a matrix; absent if it is.
template <class T>
View<T, 2> rows(const View<T, 2>& x, Index first, Index count) {
  return x ? View<T, 2>(x.at(first), {count, x.extent(1)}, x.strides()) : View<T, 2>();
}

/// A dense matrix in the arena's memory.
template <Real S>
View<S, 2> take_matrix(Arena& arena, Index rows, Index cols) {
  return View<S, 2>(arena.take<S>(rows * cols), {rows, cols});
}

}  // namespace lion::nn
