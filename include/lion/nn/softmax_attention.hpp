#pragma once
/// softmax(QKᵀ/√D)·V tile by tile, without an L×L matrix: the attention of ViT, DeiT and BERT.

#include <cmath>
#include <limits>

#include "lion/attention.hpp"
#include "lion/cpu/door.hpp"
#include "lion/nn/product.hpp"

namespace lion::nn {

/// Softmax attention with running maxima and sums over tiles of keys (FlashAttention, arXiv 2205.14135); backward makes
/// the probabilities again from the rows' log-sum-exp. Inputs as lion::Attention's, with as many heads of q and k as of
/// v; k and v of padding must be finite. A row that sees no key is 0 and passes no gradient.
template <Real S>
class SoftmaxAttention {
 public:
  std::size_t workspace_size(const AttentionInputs<S>& in, const Executor& executor) const {
    return bytes(forward_tasks(in), lane_size(in, 1, 0), executor);
  }

  std::size_t backward_workspace_size(const AttentionInputs<S>& in, const Executor& executor) const {
    return bytes(backward_tasks(in), lane_size(in, 2, cpu::longest_sequence(in)), executor);
  }

  /// y [B,H,L,E]; the rows' log-sum-exp goes to log_sum [B,H,L] if present.
  void forward(const AttentionInputs<S>& in, const View<S, 4>& y, const View<S, 3>& log_sum, Workspace& workspace,
               const Executor& executor) const {
    check(in);
    const Index heads = in.q.extent(1), out = in.v.extent(3), sequences = cpu::sequence_count(in);
    const Index tasks = forward_tasks(in), tiles = tasks / (std::max)(backward_tasks(in), Index(1));
    const S scale = static_cast<S>(1 / std::sqrt(static_cast<double>(in.q.extent(3))));
    workspace.reserve(workspace_size(in, executor));
    Arena arena = workspace.arena();
    const Index per_lane = lane_size(in, 1, 0);
    S* scratch = arena.take<S>(executor.lanes(tasks) * per_lane);
    executor.for_each_task(tasks, [&](Index task, Index lane) {
      const Index b = task / tiles / sequences / heads, h = task / tiles / sequences % heads;
      const Stretch sequence = cpu::sequence_of(in, task / tiles % sequences);
      const Index tile = tile_of(sequence.size), stride = padded(tile), i = sequence.first + task % tiles * tile;
      if (i >= sequence.end()) return;  // the longest sequence has more tiles
      const Index rows = (std::min)(tile, sequence.end() - i);
      S* scores = scratch + lane * per_lane;  // [rows, stride]
      Column top(scores + tile * stride, rows), sum(top.data() + stride, rows);
      S* padding = sum.data() + stride;  // [stride]
      top.setConstant(-kInfinity);
      sum.setZero();
      auto to = matrix(y, b, h, i, rows);  // [rows, E], not yet divided by the sums
      to.setZero();
      for (Index j = sequence.first; j < sequence.end(); j += tile) {
        const Index keys = (std::min)(tile, sequence.end() - j);
        if (!visible(in, b, j, keys, padding)) continue;
        cpu::set_product(cpu::matrix(scores, rows, keys, stride), matrix(in.q, b, h, i, rows),
                         matrix(in.k, b, h, j, keys).transpose());
        for (Index r = 0; r < rows; ++r) {
          Row row(scores + r * stride, padded(keys));
          std::fill(row.data() + keys, row.data() + row.size(), -kInfinity);
          if (in.key_mask) row += Row(padding, row.size());
          const S before = top(r), now = (std::max)(before, row.maxCoeff() * scale);
          row = (row * scale - now).exp();
          const S shrink = std::exp(before - now);
          sum(r) = sum(r) * shrink + row.sum();
          if (j > sequence.first && shrink != S(1)) to.row(r) *= shrink;
          top(r) = now;
        }
        cpu::add_product(to, cpu::matrix(static_cast<const S*>(scores), rows, keys, stride),
                         matrix(in.v, b, h, j, keys));
      }
      for (Index r = 0; r < rows; ++r) {
        if (sum(r) > S(0)) Row(y.at(b, h, i + r), out) *= S(1) / sum(r);
        if (log_sum) log_sum(b, h, i + r) = sum(r) > S(0) ? top(r) + std::log(sum(r)) : kInfinity;
      }
    });
  }

  /// Gradients (overwritten), with y and log_sum as forward gave them.
  void backward(const AttentionInputs<S>& in, const View<const S, 4>& y, const View<const S, 3>& log_sum,
                const View<const S, 4>& dy, const AttentionGradients<S>& gradients, Workspace& workspace,
                const Executor& executor) const {
    check(in);
    const Index heads = in.q.extent(1), out = in.v.extent(3), sequences = cpu::sequence_count(in);
    const Index tasks = backward_tasks(in);
    const S scale = static_cast<S>(1 / std::sqrt(static_cast<double>(in.q.extent(3))));
    workspace.reserve(backward_workspace_size(in, executor));
    Arena arena = workspace.arena();
    const Index per_lane = lane_size(in, 2, cpu::longest_sequence(in));
    S* scratch = arena.take<S>(executor.lanes(tasks) * per_lane);
    executor.for_each_task(tasks, [&](Index task, Index lane) {
      const Index b = task / sequences / heads, h = task / sequences % heads;
      const Stretch sequence = cpu::sequence_of(in, task % sequences);
      const Index begin = sequence.first, end = sequence.end(), tile = tile_of(sequence.size), stride = padded(tile);
      S* probability = scratch + lane * per_lane;     // P, [tile, stride]
      S* upstream = probability + tile * stride;      // dP, then dS, [tile, stride]
      S* padding = upstream + tile * stride;          // [stride]
      Column along(padding + stride, sequence.size);  // dy_i · y_i
      for (Index t = begin; t < end; ++t)
        along(t - begin) = (ConstRow(dy.at(b, h, t), out) * ConstRow(y.at(b, h, t), out)).sum();
      matrix(gradients.dq, b, h, begin, sequence.size).setZero();
      for (Index j = begin; j < end; j += tile) {
        const Index keys = (std::min)(tile, end - j);
        const auto k = matrix(in.k, b, h, j, keys), v = matrix(in.v, b, h, j, keys);
        auto dk = matrix(gradients.dk, b, h, j, keys), dv = matrix(gradients.dv, b, h, j, keys);
        dk.setZero();
        dv.setZero();
        if (!visible(in, b, j, keys, padding)) continue;
        for (Index i = begin; i < end; i += tile) {
          const Index rows = (std::min)(tile, end - i);
          const auto q = matrix(in.q, b, h, i, rows), dyi = matrix(dy, b, h, i, rows);
          auto p = cpu::matrix(probability, rows, keys, stride);
          auto ds = cpu::matrix(upstream, rows, keys, stride);
          cpu::set_product(p, q, k.transpose());
          cpu::set_product(ds, dyi, v.transpose());
          for (Index r = 0; r < rows; ++r) {
            Row pr(probability + r * stride, padded(keys)), dr(upstream + r * stride, padded(keys));
            std::fill(pr.data() + keys, pr.data() + pr.size(), S(0));
            std::fill(dr.data() + keys, dr.data() + dr.size(), S(0));
            if (in.key_mask) pr += Row(padding, pr.size());
            pr = (pr * scale - log_sum(b, h, i + r)).exp();
            dr = pr * (dr - along(i + r - begin)) * scale;
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
  static constexpr S kInfinity = std::numeric_limits<S>::infinity();

  /// Tiles of equal size up to a panel: 197 tokens are two of 99, not 128 and 69.
  static Index tile_of(Index length) {
    const Index tiles = (std::max)(detail::blocks(length, cpu::kPanel), Index(1));
    return (std::max)(detail::blocks(length, tiles), Index(1));
  }

  static Index forward_tasks(const AttentionInputs<S>& in) {
    const Index longest = cpu::longest_sequence(in);
    return backward_tasks(in) * detail::blocks(longest, tile_of(longest));
  }
  static Index backward_tasks(const AttentionInputs<S>& in) {
    return in.q.extent(0) * in.q.extent(1) * cpu::sequence_count(in);
  }

  /// Whether any of these keys is no padding; then `padding` [padded(keys)] becomes 0 for those and -∞ for the others.
  static bool visible(const AttentionInputs<S>& in, Index b, Index first, Index keys, S* padding) {
    if (!in.key_mask) return true;
    bool any = false;
    std::fill(padding + keys, padding + padded(keys), S(0));
    for (Index j = 0; j < keys; ++j) {
      const bool seen = in.key_mask(b, first + j);
      padding[j] = seen ? S(0) : -kInfinity;
      any = any || seen;
    }
    return any;
  }

  /// Elements of scratch of a lane: `tiles` tiles of any sequence, three rows of one, `more`.
  static Index lane_size(const AttentionInputs<S>& in, Index tiles, Index more) {
    const Index most = padded((std::min)(cpu::longest_sequence(in), cpu::kPanel));
    return padded(most * (tiles * most + 3) + more);
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
    cpu::checked_dims(in);
  }
};

}  // namespace lion::nn
