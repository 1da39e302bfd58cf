#pragma once
/// The products of a linear layer, split over an executor by shape alone: the same bits for any number of threads.

#include <algorithm>
#include <limits>
#include <span>

#include "lion/core/executor.hpp"
#include "lion/core/view.hpp"
#include "lion/cpu/packed_product.hpp"

namespace lion::nn {

/// Rows of a token matrix that one task takes.
inline constexpr Index kRowBlock = 128;
/// The most rows of a linear layer for which weights are turned once.
inline constexpr Index kLinearRows = 512;
/// The most outputs of one task, with x in the second cache; a BLAS lays both out by itself, for each call anew.
inline constexpr Index kLinearColumns = cpu::kBlas ? 1024 : 512;

namespace detail {

constexpr Index blocks(Index n, Index size) { return (n + size - 1) / size; }

/// How many of n one part has, if they are cut into equal parts of at most `most`: none is a short one.
constexpr Index equal_part(Index n, Index most) { return n > 0 ? blocks(n, blocks(n, most)) : most; }

template <class T>
auto map(const View<T, 2>& x, Index row, Index rows, Index col, Index cols) {
  return cpu::matrix(x.at(row, col), rows, cols, x.stride(0));
}

/// How many of `all` columns a task takes, a multiple of 64 and at most `most`, where there are tasks for each of
/// `layers` and `row_parts`: what gives the busiest thread least to do, if a task costs as much as its columns and
/// `extra` more, and a 32nd more where there are fewer pieces of weights than threads (two threads on 1,576 rows took 2
/// to 4 % longer with one piece than with two). Every entry is the same sum whatever this is.
inline Index task_columns(Index all, Index most, Index layers, Index row_parts, Index extra, const Executor& executor) {
  constexpr Index unit = 64;
  Index best = most, least = (std::numeric_limits<Index>::max)();
  for (Index columns = most; columns > 0; columns -= unit) {
    const Index pieces = layers * blocks(all, columns), turns = blocks(pieces * row_parts, executor.concurrency());
    Index work = turns * ((std::min)(columns, all) + extra);
    if (pieces < executor.concurrency()) work += work / 32;
    if (work < least) best = columns, least = work;
  }
  return best;
}

/// body(row, rows, col, cols) for each tile of a rows × cols matrix.
template <class F>
void for_each_tile(Index rows, Index cols, Index tile_rows, Index tile_cols, const Executor& executor, F&& body) {
  const Index across = blocks(cols, tile_cols), tiles = blocks(rows, tile_rows) * across;
  const auto run = [&](Index tile, Index) {
    const Index row = tile / across * tile_rows, col = tile % across * tile_cols;
    body(row, (std::min)(tile_rows, rows - row), col, (std::min)(tile_cols, cols - col));
  };
  if (tiles == 1) return run(0, 0);  // no reason to wake anyone
  executor.for_each_task(tiles, run);
}

/// body(first, count) for each block of `size` rows.
template <class F>
void for_each_block(Index rows, Index size, const Executor& executor, F&& body) {
  for_each_tile(rows, 1, size, 1, executor, [&](Index row, Index n, Index, Index) { body(row, n); });
}

/// body(layer, row, rows, col, cols) for each tile of `layers` matrices side by side, each rows × cols.
template <class F>
void for_each_layer_tile(Index rows, std::size_t layers, Index cols, Index tile_rows, Index tile_cols,
                         const Executor& executor, F&& body) {
  const Index across = blocks(cols, tile_cols);
  for_each_tile(rows, static_cast<Index>(layers) * across, tile_rows, 1, executor,
                [&](Index row, Index n, Index block, Index) {
                  const Index col = block % across * tile_cols;
                  body(static_cast<std::size_t>(block / across), row, n, col, (std::min)(tile_cols, cols - col));
                });
}

/// residual + bias, whatever there is of them, from a row and a column of the residual on; the bias is of that column.
template <Real S>
cpu::Base<S> base_of(const View<const S, 2>& residual, const S* bias, Index row, Index col) {
  return {residual ? residual.at(row, col) : nullptr, residual ? residual.stride(0) : 0, bias};
}

/// then(row) of every row.
template <Real S>
void finish_rows(void (*then)(S*, Index), cpu::Matrix<S>& out) {
  if (!then) return;
  for (Index r = 0; r < out.rows(); ++r) then(&out(r, 0), out.cols());
}

}  // namespace detail

/// Layers side by side: w[p] [O,I] of each, whose outputs are columns p·O … (p+1)·O of one matrix. All are done in one
/// call to the executor.
template <class T>
using Layers = std::span<T* const>;

/// What becomes of every finished part of a row [n]: an activation.
template <Real S>
using Then = void (*)(S* row, Index n);

/// y = then(x·wᵀ + bias + residual): x [N,I], w P of [O,I], bias P of [O] or of nullptr, residual [N,P·O] or absent (it
/// may be y), y [N,P·O]; `then` may be nullptr.
template <Real S>
void linear_product(const View<const S, 2>& x, Layers<const S> w, Layers<const S> bias,
                    const View<const S, 2>& residual, const View<S, 2>& y, Then<S> then, const Executor& executor) {
  const Index in = x.extent(1), out = y.extent(1) / static_cast<Index>(w.size());
  const Index rows = detail::equal_part(y.extent(0), kLinearRows);
  const Index columns = detail::task_columns(out, kLinearColumns, static_cast<Index>(w.size()),
                                             detail::blocks(y.extent(0), rows), 16, executor);
  detail::for_each_layer_tile(
      y.extent(0), w.size(), out, rows, columns, executor, [&](std::size_t p, Index i, Index n, Index j, Index m) {
        const Index column = static_cast<Index>(p) * out + j;
        auto tile = detail::map(y, i, n, column, m);
        const auto base = detail::base_of(residual, bias[p] ? bias[p] + j : nullptr, i, column);
        cpu::linear_product<S>(tile, base, detail::map(x, i, n, 0, in), cpu::matrix(w[p] + j * in, m, in));
        detail::finish_rows(then, tile);
      });
}

/// The same with packed weights, P of [O,I]. Outputs come first, so that one task after another reads the same weights.
template <Real S>
void packed_product(const View<const S, 2>& x, Layers<const cpu::PackedMatrix> w, Layers<const S> bias,
                    const View<const S, 2>& residual, const View<S, 2>& y, Then<S> then, const Executor& executor) {
  static_assert(std::same_as<S, float>, "lion::nn::packed_product: weights are packed for float");
  if (y.extent(0) == 0) return;
  const cpu::WeightType type = w.front()->type();
  const Index in = x.extent(1), out = w.front()->out(), tokens = y.extent(0);
  const Index row_parts = detail::blocks(tokens, cpu::kPackedRows);
  const Index rows = detail::blocks(detail::equal_part(tokens, cpu::kPackedRows), 16) * 16;  // whole tiles
  // Where rows are converted, every task does that anew.
  const Index columns = detail::task_columns(out, cpu::packed_columns(type), static_cast<Index>(w.size()), row_parts,
                                             cpu::converts_rows(type) ? 64 : 16, executor);
  detail::for_each_layer_tile(out, w.size(), tokens, columns, rows, executor,
                              [&](std::size_t p, Index j, Index m, Index i, Index n) {
                                const Index column = static_cast<Index>(p) * out + j;
                                auto tile = detail::map(y, i, n, column, m);
                                const auto base = detail::base_of(residual, bias[p] ? bias[p] + j : nullptr, i, column);
                                cpu::packed_product(tile, base, detail::map(x, i, n, 0, in), *w[p], j);
                                detail::finish_rows(then, tile);
                              });
}

/// dx = dy·w, or dx += dy·w: dy [N,P·O], w P of [O,I], dx [N,I].
template <Real S>
void linear_product_input_gradient(const View<const S, 2>& dy, Layers<const S> w, const View<S, 2>& dx, bool add,
                                   const Executor& executor) {
  const Index out = dy.extent(1) / static_cast<Index>(w.size()), in = dx.extent(1);
  const Index rows = detail::equal_part(dx.extent(0), kLinearRows);
  const Index columns = detail::task_columns(in, kLinearColumns, 1, detail::blocks(dx.extent(0), rows), 16, executor);
  detail::for_each_tile(dx.extent(0), in, rows, columns, executor, [&](Index i, Index n, Index j, Index m) {
    auto tile = detail::map(dx, i, n, j, m);
    if (!add) tile.setZero();
    for (std::size_t p = 0; p < w.size(); ++p) {
      cpu::add_linear_input_product<S>(tile, detail::map(dy, i, n, static_cast<Index>(p) * out, out),
                                       cpu::matrix(w[p] + j, out, m, in));
    }
  });
}
template <Real S>
void linear_product_input_gradient(const View<const S, 2>& dy, const S* w, const View<S, 2>& dx, bool add,
                                   const Executor& executor) {
  linear_product_input_gradient<S>(dy, Layers<const S>(&w, 1), dx, add, executor);
}

/// dw += dyᵀ·x and dbias += the column sums of dy: dy [N,P·O], x [N,I], dw P of [O,I], dbias P of [O], each or all
/// nullptr. Each task has entries of its own and goes over the tokens in their order.
template <Real S>
void linear_product_weight_gradient(const View<const S, 2>& dy, const View<const S, 2>& x, Layers<S> dw,
                                    Layers<S> dbias, const Executor& executor) {
  const Index tokens = dy.extent(0), out = dy.extent(1) / static_cast<Index>(dw.size()), in = x.extent(1);
  // Small weights are cut finer, or there would be fewer tiles than threads.
  const Index tile = dy.extent(1) * in >= 16 * kRowBlock * kRowBlock ? cpu::kWeightRows : kRowBlock / 2;
  const Index columns =
      detail::task_columns(in, 768, static_cast<Index>(dw.size()) * detail::blocks(out, tile), 1, 16, executor);
  const Index across = detail::blocks(in, columns);
  detail::for_each_layer_tile(
      across, dw.size(), out, 1, tile, executor, [&](std::size_t p, Index block, Index, Index i, Index n) {
        const Index j = block * columns, m = (std::min)(columns, in - j), column = static_cast<Index>(p) * out + i;
        cpu::add_linear_weight_product<S>(cpu::matrix(dw[p] + i * in + j, n, m, in),
                                          detail::map(dy, 0, tokens, column, n), detail::map(x, 0, tokens, j, m));
        if (!dbias[p] || j > 0) return;
        using Sum = Eigen::Array<S, Eigen::Dynamic, 1>;
        Eigen::Map<Sum> sum(dbias[p] + i, n);
        for (Index t = 0; t < tokens; ++t) sum += Eigen::Map<const Sum>(dy.at(t, column), n);
      });
}
template <Real S>
void linear_product_weight_gradient(const View<const S, 2>& dy, const View<const S, 2>& x, S* dw, S* dbias,
                                    const Executor& executor) {
  linear_product_weight_gradient<S>(dy, x, Layers<S>(&dw, 1), Layers<S>(&dbias, 1), executor);
}

}  // namespace lion::nn

#ifdef LION_EXTERN_KERNELS
#include "lion/nn/kernels.hpp"
#endif
