#pragma once
/// softmax(QKᵀ/√D)·V tile by tile, without an L×L matrix: the attention of ViT, DeiT and BERT.

#include <cmath>
#include <limits>

#include "lion/attention.hpp"
#include "lion/nn/product.hpp"

namespace lion::nn {

/// Softmax attention with running maxima and sums over tiles of keys (FlashAttention, arXiv 2205.14135); backward makes
/// the probabilities again from the rows' log-sum-exp. Inputs as lion::Attention's, with as many heads of q and k as of
/// v, and neither key_mask nor cu_seqlens.
template <Real S>
class SoftmaxAttention {
 public:
  std::size_t workspace_size(const AttentionInputs<S>& in, const Executor& executor) const {
    const Index tile = tile_of(in.q.extent(2));
    return bytes(in.q.extent(0) * in.q.extent(1) * detail::blocks(in.q.extent(2), tile),
                 padded(tile * (padded(tile) + 2)), executor);
  }

  std::size_t backward_workspace_size(const AttentionInputs<S>& in, const Executor& executor) const {
    const Index length = in.q.extent(2), tile = tile_of(length);
    return bytes(in.q.extent(0) * in.q.extent(1), padded(2 * tile * padded(tile) + length), executor);
  }

  /// y [B,H,L,E]; the rows' log-sum-exp goes to log_sum [B,H,L] if present.
  void forward(const AttentionInputs<S>& in, const View<S, 4>& y, const View<S, 3>& log_sum, Workspace& workspace,
               const Executor& executor) const {
    check(in);
    const Index heads = in.q.extent(1), length = in.q.extent(2), width = in.q.extent(3), out = in.v.extent(3);
    const Index tile = tile_of(length), tiles = detail::blocks(length, tile), tasks = in.q.extent(0) * heads * tiles;
    const S scale = static_cast<S>(1 / std::sqrt(static_cast<double>(width)));
    workspace.reserve(workspace_size(in, executor));
    Arena arena = workspace.arena();
    const Index stride = padded(tile), per_lane = padded(tile * (stride + 2));
    S* scratch = arena.take<S>(executor.lanes(tasks) * per_lane);
    executor.for_each_task(tasks, [&](Index task, Index lane) {
      const Index b = task / tiles / heads, h = task / tiles % heads, i = task % tiles * tile;
      const Index rows = (std::min)(tile, length - i);
      S* scores = scratch + lane * per_lane;  // [rows, stride]
      Column top(scores + tile * stride, rows), sum(scores + tile * (stride + 1), rows);
      top.setConstant(-std::numeric_limits<S>::infinity());
      sum.setZero();
      auto to = matrix(y, b, h, i, rows);  // [rows, E], not yet divided by the sums
      to.setZero();
      for (Index j = 0; j < length; j += tile) {
        const Index keys = (std::min)(tile, length - j);
        cpu::set_product(cpu::matrix(scores, rows, keys, stride), matrix(in.q, b, h, i, rows),
                         matrix(in.k, b, h, j, keys).transpose());
        for (Index r = 0; r < rows; ++r) {
          Row row(scores + r * stride, padded(keys));
          std::fill(row.data() + keys, row.data() + row.size(), -std::numeric_limits<S>::infinity());
          const S before = top(r), now = (std::max)(before, row.maxCoeff() * scale);
          row = (row * scale - now).exp();
          const S shrink = std::exp(before - now);
          sum(r) = sum(r) * shrink + row.sum();
          if (j > 0 && shrink != S(1)) to.row(r) *= shrink;
          top(r) = now;
        }
        cpu::add_product(to, cpu::matrix(static_cast<const S*>(scores), rows, keys, stride),
                         matrix(in.v, b, h, j, keys));
      }
      for (Index r = 0; r < rows; ++r) {
        Row(y.at(b, h, i + r), out) *= S(1) / sum(r);
        if (log_sum) log_sum(b, h, i + r) = top(r) + std::log(sum(r));
      }
    });
  }

  /// Gradients (overwritten), with y and log_sum as forward gave them.
  void backward(const AttentionInputs<S>& in, const View<const S, 4>& y, const View<const S, 3>& log_sum,
                const View<const S, 4>& dy, const AttentionGradients<S>& gradients, Workspace& workspace,
                const Executor& executor) const {
    check(in);
    const Index heads = in.q.extent(1), length = in.q.extent(2), width = in.q.extent(3), out = in.v.extent(3);
    const Index tile = tile_of(length), tasks = in.q.extent(0) * heads;
    const S scale = static_cast<S>(1 / std::sqrt(static_cast<double>(width)));
    workspace.reserve(backward_workspace_size(in, executor));
    Arena arena = workspace.arena();
    const Index stride = padded(tile), per_lane = padded(2 * tile * stride + length);
    S* scratch = arena.take<S>(executor.lanes(tasks) * per_lane);
    executor.for_each_task(tasks, [&](Index task, Index lane) {
      const Index b = task / heads, h = task % heads;
      S* probability = scratch + lane * per_lane;      // P, [tile, stride]
      S* upstream = probability + tile * stride;       // dP, then dS, [tile, stride]
      Column along(upstream + tile * stride, length);  // dy_i · y_i
      for (Index t = 0; t < length; ++t)
        along(t) = (ConstRow(dy.at(b, h, t), out) * ConstRow(y.at(b, h, t), out)).sum();
      matrix(gradients.dq, b, h, 0, length).setZero();
      for (Index j = 0; j < length; j += tile) {
        const Index keys = (std::min)(tile, length - j);
        const auto k = matrix(in.k, b, h, j, keys), v = matrix(in.v, b, h, j, keys);
        auto dk = matrix(gradients.dk, b, h, j, keys), dv = matrix(gradients.dv, b, h, j, keys);
        dk.setZero();
        dv.setZero();
        for (Index i = 0; i < length; i += tile) {
          const Index rows = (std::min)(tile, length - i);
          const auto q = matrix(in.q, b, h, i, rows), dyi = matrix(dy, b, h, i, rows);
          auto p = cpu::matrix(probability, rows, keys, stride);
          auto ds = cpu::matrix(upstream, rows, keys, stride);
          cpu::set_product(p, q, k.transpose());
          cpu::set_product(ds, dyi, v.transpose());
          for (Index r = 0; r < rows; ++r) {
            Row pr(probability + r * stride, padded(keys)), dr(upstream + r * stride, padded(keys));
            std::fill(pr.data() + keys, pr.data() + pr.size(), S(0));
            std::fill(dr.data() + keys, dr.data() + dr.size(), S(0));
            pr = (pr * scale - log_sum(b, h, i + r)).exp();
            dr = pr * (dr - along(i + r)) * scale;
          }
          cpu::add_product(dv, p.transpose(), dyi);
          cpu::add_product(dk, ds.transpose(), q);
          cpu::add_product(matrix(gradients.dq, b, h, i, rows), ds, k);
        }
      }
    });
  }

 private:
  using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;
  using ConstRow = Eigen::Map<const Eigen::Array<S, -1, 1>>;
  using Column = Row;

  /// Tiles of equal size up to a panel: 197 tokens are two of 99, not 128 and 69.
  static Index tile_of(Index length) {
    const Index tiles = (std::max)(detail::blocks(length, cpu::kPanel), Index(1));
    return (std::max)(detail::blocks(length, tiles), Index(1));
  }

  /// Rows of scores fill whole vectors: exponentials of a remainder would be computed one by one. So does the scratch
  /// of a lane: sums of misaligned rows are taken in another order, and a task's bits must not depend on its lane.
  static Index padded(Index keys) { return detail::blocks(keys, 16) * 16; }

  static std::size_t bytes(Index tasks, Index per_lane, const Executor& executor) {
    return sizeof(S) * static_cast<std::size_t>(executor.lanes(tasks) * per_lane) + kAlignment;
  }

  template <class T>
  static auto matrix(const View<T, 4>& x, Index b, Index h, Index t, Index n) {
    return cpu::matrix(x.at(b, h, t), n, x.extent(3), x.stride(2));
  }

  static void check(const AttentionInputs<S>& in) {
    const Shape<4>& q = in.q.shape();
    require_shape<4>("softmax_attention", "k", in.k.shape(), q, " to match q");
    require_shape<4>("softmax_attention", "v", in.v.shape(), {q[0], q[1], q[2], -1}, " to match q");
    if (in.key_mask || !in.cu_seqlens.empty()) {
      throw ArgumentError("softmax_attention: key_mask or cu_seqlens is given, expected neither");
    }
  }
};

}  // namespace lion::nn
