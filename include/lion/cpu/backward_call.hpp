#pragma once
/// A backward call on the CPU: its tasks (one per group of heads that share q and k, or several where groups are few),
/// their scratch, and the sums over heads, orders and batch.

#include "lion/cpu/backward.hpp"
#include "lion/cpu/forward_call.hpp"
#include "lion/cpu/rnn_backward.hpp"

namespace lion::cpu {

/// Scratch of one lane of a backward call.
template <class Types>
struct BackwardLane {
  using A = typename Types::A;
  using M = typename Types::M;
  using Tiles = std::conditional_t<Types::recurrent, RnnBackwardScratch<A, M>, BackwardScratch<A, M>>;

  Tiles tiles;
  A *dq = nullptr, *dk = nullptr, *dv = nullptr;  // [L, D], [L, D], [L, E], where the outputs cannot hold the sums
  A *y = nullptr, *row_sum = nullptr;             // [L, E], [L], where they are computed again
  std::optional<ForwardLane<Types>> forward;

  BackwardLane(Arena& arena, const AttentionDims& dims, bool again) : tiles(arena, dims.L, dims.D, dims.E) {
    if (!std::same_as<typename Types::T, A>) {
      dq = arena.take<A>(dims.L * dims.D);
      dk = arena.take<A>(dims.L * dims.D);
      dv = arena.take<A>(dims.L * dims.E);
    }
    if (again) {
      y = arena.take<A>(dims.L * dims.E);
      row_sum = arena.take<A>(dims.L);
      forward.emplace(arena, dims, true, true);
    }
  }
};

template <class Types>
class BackwardCall {
 public:
  using T = typename Types::T;
  using A = typename Types::A;
  using M = typename Types::M;
  using Masks = typename Types::Masks;
  using Gradients = std::span<const MaskGradients<M, T>>;

  BackwardCall(const AttentionInputs<T>& in, const AttentionDims& dims, const CallOptions& options, std::size_t orders,
               bool again, const Executor& executor)
      : in_(in), dims_(dims), options_(options), again_(again), executor_(executor) {
    const Index groups = dims.L == 0 ? 0 : dims.B * dims.Hk * sequence_count(in);
    parts_ = parts_of_group(groups, dims);
    tasks_ = groups * parts_;
    lanes_ = executor.lanes(tasks_);
    Arena shared;
    Shared(shared, *this, orders);
    shared_size_ = aligned(shared.used());
    Arena arena;
    BackwardLane<Types>(arena, dims, again);
    // Sums of misaligned rows are taken in another order: every lane begins alike, for the same bits.
    lane_size_ = aligned(arena.used());
  }

  std::size_t scratch() const { return shared_size_ + static_cast<std::size_t>(lanes_) * lane_size_; }

  void run(Masks masks, const AttentionUpstream<T>& upstream, const AttentionGradients<T>& out,
           Gradients mask_gradients, const IncomingBackward<A>& incoming, std::byte* scratch) const {
    Arena arena_of_all(scratch);
    const Shared shared(arena_of_all, *this, masks.size());
    std::byte* lanes = scratch + shared_size_;
    executor_.for_each_task(tasks_, [&](Index task, Index lane_index) {
      const FlushSubnormals flush;
      Arena arena(lanes + static_cast<std::size_t>(lane_index) * lane_size_);
      BackwardLane<Types> lane(arena, dims_, again_);
      run_part(task, masks, upstream, out, mask_gradients, incoming, lane, shared);
    });
    if (parts_ > 1) {
      executor_.for_each_task(tasks_ / parts_, [&](Index group, Index) { sum_parts(group, out, shared); });
    }
    if constexpr (M::decay == mask::DecayKind::per_head) sum_per_head(masks, mask_gradients, shared.per_head);
  }

 private:
  /// Scratch of all lanes.
  struct Shared {
    double* per_head = nullptr;      // [R, B·sequences, H]: dℓ of one head summed over one sequence
    A *dq = nullptr, *dk = nullptr;  // [B, Hk, parts, L, D], where a group has more than one part

    Shared(Arena& arena, const BackwardCall& call, std::size_t orders) {
      const AttentionDims& dims = call.dims_;
      if constexpr (M::decay == mask::DecayKind::per_head) {
        per_head = arena.take<double>(static_cast<Index>(orders) * dims.B * sequence_count(call.in_) * dims.H);
      }
      if (call.parts_ > 1) {
        dq = arena.take<A>(dims.B * dims.Hk * call.parts_ * dims.L * dims.D);
        dk = arena.take<A>(dims.B * dims.Hk * call.parts_ * dims.L * dims.D);
      }
    }
  };

  /// The tasks of a group of `heads`: as many as keep about 16 threads busy, where groups are few (Hydra has one per
  /// sequence). By the shape alone, for the same bits.
  static Index parts_of_group(Index groups, const AttentionDims& dims) {
    constexpr Index kEnough = 16;
    const Index heads = groups == 0 ? 0 : dims.H / dims.Hk;
    return heads == 0 || groups >= kEnough ? 1 : (std::min)(heads, (kEnough + groups - 1) / groups);
  }

  /// dq and dk of a group from those of its parts.
  void sum_parts(Index group, const AttentionGradients<T>& out, const Shared& shared) const {
    const Index sequences = sequence_count(in_), D = dims_.D;
    const Index g = group / sequences % dims_.Hk, b = group / (dims_.Hk * sequences);
    const Stretch sequence = sequence_of(in_, group % sequences);
    const auto sum = [&](A* from, const View<T, 4>& to) {
      A* parts = from + (b * dims_.Hk + g) * parts_ * dims_.L * D;
      for (Index t = sequence.first; t < sequence.end(); ++t) {
        for (Index part = 1; part < parts_; ++part) add_row(parts + (part * dims_.L + t) * D, D, A(1), parts + t * D);
        store_row(parts + t * D, D, A(1), to.at(b, g, t));
      }
    };
    sum(shared.dq, out.dq);
    sum(shared.dk, out.dk);
  }

  void sum_per_head(Masks masks, Gradients mask_gradients, const double* per_head) const
    requires(M::decay == mask::DecayKind::per_head)
  {
    const Index rows = dims_.B * sequence_count(in_);
    for (std::size_t r = 0; r < masks.size(); ++r) {
      for (Index h = 0; h < dims_.H; ++h) {
        double sum = 0;
        for (Index i = 0; i < rows && tasks_ > 0; ++i) {
          sum += per_head[(static_cast<Index>(r) * rows + i) * dims_.H + h];
        }
        const bool cut = static_cast<double>(masks[r].mask.log_decay(h)) <= mask::kCut;
        mask_gradients[r].log_decay(h, cut ? A(0) : static_cast<A>(sum));
      }
    }
  }

  void run_part(Index task, Masks masks, const AttentionUpstream<T>& upstream, const AttentionGradients<T>& out,
                Gradients mask_gradients, const IncomingBackward<A>& incoming, BackwardLane<Types>& lane,
                const Shared& shared) const;

  void run_head(const OrderedMask<M, T>& mask, const MaskGradients<M, T>& mask_gradients, const UpstreamRows<T>& rows,
                const GradientRows<A>& gradients, const IncomingBackward<A>& incoming, Index b, Index h,
                Stretch sequence, BackwardLane<Types>& lane, double& sum) const {
    using Walk = std::conditional_t<Types::recurrent,
                                    RnnBackwardWalk<T, M, typename Types::Normaliser, typename Types::Direction>,
                                    BackwardWalk<T, M, typename Types::Normaliser, typename Types::Direction>>;
    const Head<T, M> head = head_of(in_, mask, dims_, b, h, sequence, options_.scale);
    Walk walk(head, rows, gradients, lane.tiles);
    const auto give = [&](Index t, double value) {
      if constexpr (M::decay == mask::DecayKind::per_token) {
        const bool cut = head.log_decay(t) <= mask::kCut;
        mask_gradients.log_decay(b, h, t, cut ? A(0) : static_cast<A>(value));
      }
    };
    bool done = false;
    if constexpr (Walk::collapses) {
      if (options_.plan.global) {
        walk.run_global(incoming);
        done = true;
      }
    }
    if (!done) walk.run(options_.plan.chunk, incoming, give);
    sum = walk.decay_sum();
    if constexpr (M::gated) {
      for (Index p = sequence.first; p < sequence.end(); ++p) {
        const Index t = head.token(p);
        mask_gradients.gate(b, h, t, static_cast<A>(lane.tiles.scalars.gate[t]));
      }
    }
  }

  /// dy, y and δ of a head; y and δ are computed again where the caller has not kept them.
  UpstreamRows<T> upstream_rows(Masks masks, const AttentionUpstream<T>& upstream, const Incoming<A>& incoming, Index b,
                                Index h, Stretch sequence, BackwardLane<Types>& lane) const {
    UpstreamRows<T> rows;
    rows.dy = rows_of(upstream.dy, b, h);
    rows.share = A(1) / static_cast<A>(masks.size());
    if constexpr (!Types::Normaliser::divides) return rows;
    if (!again_) {
      rows.y = rows_of(upstream.y, b, h);
      rows.row_sum = upstream.row_sum.at(b, h);
      rows.row_sum_stride = upstream.row_sum.stride(2);
      return rows;
    }
    const Rows<A> y{lane.y, dims_.E};
    const auto finish = [&](auto&& token_of, Tile<A> n, const A* d, Index count) {
      divide_rows<typename Types::Normaliser>(n, d, count, options_.epsilon, rows.share,
                                              [&](Index i, const A* row, A factor, A delta) {
                                                finish_row(row, dims_.E, factor, y(token_of(i)));
                                                lane.row_sum[token_of(i)] = delta;
                                              });
    };
    forward_head<Types>(in_, masks, options_, dims_, b, h, sequence, *lane.forward, y, incoming, {}, finish);
    rows.y_wide = {lane.y, dims_.E};
    rows.row_sum = lane.row_sum;
    return rows;
  }

  Rows<A> wide(const View<T, 4>& out, Index b, Index h, A* scratch) const {
    if constexpr (std::same_as<T, A>) return rows_of(out, b, h);
    return {scratch, out.extent(3)};
  }

  void narrow(Rows<A> rows, Stretch sequence, Index width, const View<T, 4>& out, Index b, Index h) const {
    if constexpr (!std::same_as<T, A>) {
      for (Index t = sequence.first; t < sequence.end(); ++t) store_row(rows(t), width, A(1), out.at(b, h, t));
    }
  }

  const AttentionInputs<T>& in_;
  AttentionDims dims_;
  CallOptions options_;
  bool again_;
  Executor executor_;
  Index parts_ = 1, tasks_ = 0, lanes_ = 1;
  std::size_t shared_size_ = 0, lane_size_ = 0;
};

// Outside the class, and so not inline: `extern template` (cpu/kernels.hpp) keeps it out of other files.
template <class Types>
void BackwardCall<Types>::run_part(Index task, Masks masks, const AttentionUpstream<T>& upstream,
                                   const AttentionGradients<T>& out, Gradients mask_gradients,
                                   const IncomingBackward<A>& incoming, BackwardLane<Types>& lane,
                                   const Shared& shared) const {
  const Index sequences = sequence_count(in_), index = task % sequences;
  const Index part = task / sequences % parts_, group = task / (sequences * parts_) % dims_.Hk;
  const Index b = task / (sequences * parts_ * dims_.Hk), heads = dims_.H / dims_.Hk;
  const Stretch sequence = sequence_of(in_, index);
  const bool alone = parts_ == 1;
  const Index of_part = ((b * dims_.Hk + group) * parts_ + part) * dims_.L * dims_.D;
  const Rows<A> dq = alone ? wide(out.dq, b, group, lane.dq) : Rows<A>{shared.dq + of_part, dims_.D};
  const Rows<A> dk = alone ? wide(out.dk, b, group, lane.dk) : Rows<A>{shared.dk + of_part, dims_.D};
  const Index first = group * heads;
  for (Index t = sequence.first; heads == 0 && t < sequence.end(); ++t) {
    std::fill_n(dq(t), dims_.D, A(0));
    std::fill_n(dk(t), dims_.D, A(0));
  }
  for (Index h = first + heads * part / parts_; h < first + heads * (part + 1) / parts_; ++h) {
    const Rows<A> dv = wide(out.dv, b, h, lane.dv);
    const UpstreamRows<T> rows = upstream_rows(masks, upstream, incoming.keys, b, h, sequence, lane);
    for (std::size_t r = 0; r < masks.size(); ++r) {
      double sum = 0;
      const bool first_of_group = r == 0 && h == first + heads * part / parts_;
      run_head(masks[r], mask_gradients[r], rows, {dq, dk, dv, !first_of_group, r > 0}, incoming, b, h, sequence, lane,
               sum);
      if constexpr (M::decay == mask::DecayKind::per_head) {
        const Index row = b * sequences + index;
        shared.per_head[(static_cast<Index>(r) * dims_.B * sequences + row) * dims_.H + h] = sum;
      }
    }
    narrow(dv, sequence, dims_.E, out.dv, b, h);
  }
  if (!alone) return;
  narrow(dq, sequence, dims_.D, out.dq, b, group);
  narrow(dk, sequence, dims_.D, out.dk, b, group);
}

}  // namespace lion::cpu
