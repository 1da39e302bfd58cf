#pragma once
/// Rows of a matrix by number, and the sum back into them.

#include "lion/nn/product.hpp"

namespace lion::nn {

/// out[r] = x[rows[r]]: x [N,C], out [R,C].
template <Real S>
void gather_rows(const View<const S, 2>& x, std::span<const Index> rows, const View<S, 2>& out,
                 const Executor& executor) {
  detail::for_each_block(out.extent(0), kRowBlock, executor, [&](Index first, Index n) {
    for (Index r = first; r < first + n; ++r) {
      std::copy_n(x.at(rows[static_cast<std::size_t>(r)]), out.extent(1), out.at(r));
    }
  });
}

/// out[row(r)] += x[r] for r = 0, 1, …: x [R,C], out [N,C]. Rows may repeat: a task has columns of its own and goes
/// over the rows in their order.
template <Real S, class RowOf>
void scatter_add_rows(const View<const S, 2>& x, RowOf&& row, const View<S, 2>& out, const Executor& executor) {
  detail::for_each_block(x.extent(1), kRowBlock / 2, executor, [&](Index first, Index n) {
    using Values = Eigen::Array<S, -1, 1>;
    for (Index r = 0; r < x.extent(0); ++r) {
      Eigen::Map<Values>(out.at(row(r), first), n) += Eigen::Map<const Values>(x.at(r, first), n);
    }
  });
}

}  // namespace lion::nn
