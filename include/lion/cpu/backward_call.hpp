#pragma once
/// A backward call on the CPU: its tasks (one per group of heads that share q and k, or several where groups are few),
/// their scratch, and the sums over heads, orders and batch.

#include "lion/cpu/backward_lane.hpp"

namespace lion::cpu {

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
    // Fewer tasks than kEnough have one head each: see parts_of_group.
    if (dims.H > 0) halves_ = halves_of<Types>(tasks_, options);
    at_once_ = executor.lanes(tasks_);
    lanes_ = executor.lanes(halves_ ? 2 * at_once_ : tasks_);
    Arena shared;
    Shared(shared, *this, orders);
    shared_size_ = aligned(shared.used());
    Arena arena;
    BackwardLane<Types>(arena, dims, again, static_cast<bool>(halves_));
    // Sums of misaligned rows are taken in another order: every lane begins alike, for the same bits.
    lane_size_ = aligned(arena.used());
  }

  std::size_t scratch() const { return shared_size_ + static_cast<std::size_t>(lanes_) * lane_size_; }

  void run(Masks masks, const AttentionUpstream<T>& upstream, const AttentionGradients<T>& out,
           Gradients mask_gradients, const IncomingBackward<A>& incoming, std::byte* scratch) const {
    Arena arena_of_all(scratch);
    const Shared shared(arena_of_all, *this, masks.size());
    std::byte* lanes = scratch + shared_size_;
    if (halves_) {
      run_halves(masks, upstream, out, mask_gradients, incoming, lanes, shared);
    } else {
      for_each_task(tasks_, lanes, [&](Index task, BackwardLane<Types>& lane) {
        run_part(part_of(task), masks, upstream, out, mask_gradients, incoming, lane, shared);
      });
    }
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
    BackwardHalves<Types> halves;

    Shared(Arena& arena, const BackwardCall& call, std::size_t orders) {
      const AttentionDims& dims = call.dims_;
      if constexpr (M::decay == mask::DecayKind::per_head) {
        per_head = arena.take<double>(static_cast<Index>(orders) * dims.B * sequence_count(call.in_) * dims.H);
      }
      if (call.parts_ > 1) {
        dq = arena.take<A>(dims.B * dims.Hk * call.parts_ * dims.L * dims.D);
        dk = arena.take<A>(dims.B * dims.Hk * call.parts_ * dims.L * dims.D);
      }
      if (call.halves_) halves = BackwardHalves<Types>(arena, call.at_once_, dims, call.again_, call.parts_ == 1);
    }
  };

  /// The part of a group of heads, in one sequence, that a task works on.
  struct Part {
    Index b, group;
    Index place;       // among all parts of a sequence
    Index index;       // of the sequence
    Index first, end;  // heads
    Stretch sequence;
  };
  Part part_of(Index task) const {
    const Index sequences = sequence_count(in_), heads = dims_.H / dims_.Hk, part = task / sequences % parts_;
    Part p;
    p.place = task / sequences;
    p.index = task % sequences;
    p.group = p.place / parts_ % dims_.Hk;
    p.b = p.place / (parts_ * dims_.Hk);
    p.first = p.group * heads + heads * part / parts_;
    p.end = p.group * heads + heads * (part + 1) / parts_;
    p.sequence = sequence_of(in_, p.index);
    return p;
  }

  /// body(task, lane), each lane with its own scratch.
  template <class Body>
  void for_each_task(Index tasks, std::byte* lanes, Body&& body) const {
    executor_.for_each_task(tasks, [&](Index task, Index lane_index) {
      const FlushSubnormals flush;
      Arena arena(lanes + static_cast<std::size_t>(lane_index) * lane_size_);
      BackwardLane<Types> lane(arena, dims_, again_, static_cast<bool>(halves_));
      body(task, lane);
    });
  }

  /// The tasks of a group of heads: as many as keep about 16 threads busy, where groups are few (Hydra has one per
  /// sequence); where even one task for each head does not, it is that. By the shape alone, for the same bits.
  static Index parts_of_group(Index groups, const AttentionDims& dims) {
    constexpr Index kEnough = Halves::kEnough;
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

  void run_part(const Part& part, Masks masks, const AttentionUpstream<T>& upstream, const AttentionGradients<T>& out,
                Gradients mask_gradients, const IncomingBackward<A>& incoming, BackwardLane<Types>& lane,
                const Shared& shared) const;

  void run_halves(Masks masks, const AttentionUpstream<T>& upstream, const AttentionGradients<T>& out,
                  Gradients mask_gradients, const IncomingBackward<A>& incoming, std::byte* lanes,
                  const Shared& shared) const;

  using Walk =
      std::conditional_t<Types::recurrent, RnnBackwardWalk<T, M, typename Types::Normaliser, typename Types::Direction>,
                         BackwardWalk<T, M, typename Types::Normaliser, typename Types::Direction>>;

  /// dℓ of one head summed over one sequence.
  double* head_sum(const Shared& shared, std::size_t r, const Part& p, Index h) const {
    const Index sequences = sequence_count(in_), row = p.b * sequences + p.index;
    return shared.per_head + (static_cast<Index>(r) * dims_.B * sequences + row) * dims_.H + h;
  }

  /// Takes dℓ of a token, with one decay per token.
  auto decay_of_token(const Head<T, M>& head, const MaskGradients<M, T>& mask_gradients) const {
    return [&](Index t, double value) {
      if constexpr (M::decay == mask::DecayKind::per_token) {
        const bool cut = head.log_decay(t) <= mask::kCut;
        mask_gradients.log_decay(head.b, head.h, t, cut ? A(0) : static_cast<A>(value));
      }
    };
  }

  void give_gates(const Head<T, M>& head, const MaskScalars<M::decay, M::gated>& scalars,
                  const MaskGradients<M, T>& mask_gradients) const {
    if constexpr (M::gated) {
      for (Index p = head.sequence.first; p < head.sequence.end(); ++p) {
        const Index t = head.token(p);
        mask_gradients.gate(head.b, head.h, t, static_cast<A>(scalars.gate[t]));
      }
    }
  }

  void run_head(const OrderedMask<M, T>& mask, const MaskGradients<M, T>& mask_gradients, const UpstreamRows<T>& rows,
                const GradientRows<A>& gradients, const IncomingBackward<A>& incoming, Index b, Index h,
                Stretch sequence, BackwardLane<Types>& lane, double& sum) const {
    const Head<T, M> head = head_of(in_, mask, dims_, b, h, sequence, options_.scale);
    Walk walk(head, rows, gradients, lane.tiles);
    bool done = false;
    if constexpr (Walk::collapses) {
      if (options_.plan.global) {
        walk.run_global(incoming);
        done = true;
      }
    }
    if (!done) walk.run(options_.plan.chunk, incoming, decay_of_token(head, mask_gradients));
    sum = walk.decay_sum();
    give_gates(head, lane.tiles.scalars, mask_gradients);
  }

  /// dy, y and δ of a head; y [L, E] and δ [L] are those that are computed again, where the caller has not kept them.
  UpstreamRows<T> upstream_rows(Masks masks, const AttentionUpstream<T>& upstream, Index b, Index h, A* y,
                                A* row_sum) const {
    UpstreamRows<T> rows;
    rows.dy = rows_of(upstream.dy, b, h);
    rows.share = A(1) / static_cast<A>(masks.size());
    if constexpr (!Types::Normaliser::divides) return rows;
    if (again_) {
      rows.y_wide = {y, dims_.E};
      rows.row_sum = row_sum;
    } else {
      rows.y = rows_of(upstream.y, b, h);
      rows.row_sum = upstream.row_sum.at(b, h);
      rows.row_sum_stride = upstream.row_sum.stride(2);
    }
    return rows;
  }

  /// Takes the sums of rows that are computed again.
  auto finish_again(Masks masks, A* y, A* row_sum) const {
    return [this, share = A(1) / static_cast<A>(masks.size()), y, row_sum](auto token_of, Tile<A> n, const A* d,
                                                                           Index count) {
      divide_rows<typename Types::Normaliser>(
          n, d, count, options_.epsilon, share,
          [token_of, y, row_sum, E = dims_.E](Index i, const A* row, A factor, A delta) {
            finish_row(row, E, factor, y + token_of(i) * E);
            row_sum[token_of(i)] = delta;
          });
    };
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
  Halves halves_;
  Index parts_ = 1, tasks_ = 0, lanes_ = 1, at_once_ = 1;  // at_once: tasks in halves
  std::size_t shared_size_ = 0, lane_size_ = 0;
};

// Outside the class, and so not inline: `extern template` (cpu/kernels.hpp) keeps it out of other files.
template <class Types>
void BackwardCall<Types>::run_part(const Part& p, Masks masks, const AttentionUpstream<T>& upstream,
                                   const AttentionGradients<T>& out, Gradients mask_gradients,
                                   const IncomingBackward<A>& incoming, BackwardLane<Types>& lane,
                                   const Shared& shared) const {
  const bool alone = parts_ == 1;
  const Index of_part = p.place * dims_.L * dims_.D;
  const Rows<A> dq = alone ? wide(out.dq, p.b, p.group, lane.dq) : Rows<A>{shared.dq + of_part, dims_.D};
  const Rows<A> dk = alone ? wide(out.dk, p.b, p.group, lane.dk) : Rows<A>{shared.dk + of_part, dims_.D};
  for (Index t = p.sequence.first; dims_.H == 0 && t < p.sequence.end(); ++t) {
    std::fill_n(dq(t), dims_.D, A(0));
    std::fill_n(dk(t), dims_.D, A(0));
  }
  for (Index h = p.first; h < p.end; ++h) {
    const Rows<A> dv = wide(out.dv, p.b, h, lane.dv);
    if (again_) {
      forward_head<Types>(in_, masks, options_, dims_, p.b, h, p.sequence, *lane.forward, {lane.y, dims_.E},
                          incoming.keys, {}, finish_again(masks, lane.y, lane.row_sum));
    }
    const UpstreamRows<T> rows = upstream_rows(masks, upstream, p.b, h, lane.y, lane.row_sum);
    for (std::size_t r = 0; r < masks.size(); ++r) {
      double sum = 0;
      const bool first_of_group = r == 0 && h == p.first;
      run_head(masks[r], mask_gradients[r], rows, {dq, dk, dv, !first_of_group, r > 0}, incoming, p.b, h, p.sequence,
               lane, sum);
      if constexpr (M::decay == mask::DecayKind::per_head) *head_sum(shared, r, p, h) = sum;
    }
    narrow(dv, p.sequence, dims_.E, out.dv, p.b, h);
  }
  if (!alone) return;
  narrow(dq, p.sequence, dims_.D, out.dq, p.b, p.group);
  narrow(dk, p.sequence, dims_.D, out.dk, p.b, p.group);
}

/// Some sequences at a time, order after order: both halves of each at once, pass after pass.
template <class Types>
void BackwardCall<Types>::run_halves(Masks masks, const AttentionUpstream<T>& upstream,
                                     const AttentionGradients<T>& out, Gradients mask_gradients,
                                     const IncomingBackward<A>& incoming, std::byte* lanes,
                                     const Shared& shared) const {
  const BackwardHalves<Types>& halves = shared.halves;
  const Index L = dims_.L, D = dims_.D, E = dims_.E;
  const bool alone = parts_ == 1;
  // Rows [L, width] of a place among the tasks in work, or among all parts.
  const auto of = [&](A* rows, Index place, Index width) { return rows ? rows + place * L * width : nullptr; };
  const auto gradients_of = [&](const Part& p, Index place, bool filled_keys, bool filled_values) -> GradientRows<A> {
    if (!alone) {
      return {{of(shared.dq, p.place, D), D},
              {of(shared.dk, p.place, D), D},
              wide(out.dv, p.b, p.first, of(halves.dv, place, E)),
              filled_keys,
              filled_values};
    }
    return {wide(out.dq, p.b, p.group, of(halves.dq, place, D)), wide(out.dk, p.b, p.group, of(halves.dk, place, D)),
            wide(out.dv, p.b, p.first, of(halves.dv, place, E)), filled_keys, filled_values};
  };
  // body(head, walk) over some tokens of a task's head, along order r.
  const auto with_walk = [&](const Part& p, Index place, std::size_t r, Stretch tokens, bool filled, bool begins,
                             BackwardLane<Types>& lane, auto&& body) {
    const UpstreamRows<T> rows =
        upstream_rows(masks, upstream, p.b, p.first, of(halves.y, place, E), of(halves.row_sum, place, 1));
    lane.tiles.scalars = halves.scalars.from(place * L);
    const Head<T, M> head = head_of(in_, masks[r], dims_, p.b, p.first, tokens, options_.scale);
    Walk walk(head, rows, gradients_of(p, place, filled, filled), lane.tiles, begins);
    body(head, walk);
  };
  constexpr bool ends = M::decay != mask::DecayKind::none || M::gated || !std::same_as<T, A>;
  constexpr Index steps = ends ? 3 : 2;  // the last over whole sequences
  const Index orders = static_cast<Index>(masks.size()), again = again_ ? 2 * orders : 0;
  Halves::for_each_pass(tasks_, at_once_, again + steps * orders, [&](Index first, Index count, Index pass) {
    if (pass < again) {
      for_each_task(2 * count, lanes, [&](Index task, BackwardLane<Types>& lane) {
        const Index place = task / 2;
        const Part p = part_of(first + place);
        const HalfPass half{task % 2 == 1, pass % 2 == 1};
        A *y = of(halves.y, place, E), *row_sum = of(halves.row_sum, place, 1);
        const auto& states = halves.forward.states;
        forward_half<Types>(in_, masks, static_cast<std::size_t>(pass / 2), options_, dims_, p.b, p.first,
                            halves_(p.sequence, half.later), half, *lane.forward, {y, E},
                            of(halves.forward.waiting_d, place, 1), incoming.keys, states(place, false),
                            states(place, true), finish_again(masks, y, row_sum));
      });
      return;
    }
    const auto r = static_cast<std::size_t>((pass - again) / steps);
    const Index step = (pass - again) % steps;
    if (step < 2) {
      for_each_task(2 * count, lanes, [&](Index task, BackwardLane<Types>& lane) {
        const Index place = task / 2;
        const Part p = part_of(first + place);
        const HalfPass half{task % 2 == 1, step == 1};
        const bool filled = r > 0 || (half.outwards && !options_.plan.global);
        with_walk(p, place, r, halves_(p.sequence, half.later), filled, !half.outwards, lane,
                  [&](const Head<T, M>&, Walk& walk) {
                    walk.pass(half, options_.plan, incoming, halves.middle(place, false), halves.middle(place, true));
                    halves.decay_sums[4 * place + 2 * half.outwards + half.later] = walk.decay_sum();
                    if (half.outwards && half.later) halves.anchors[place] = walk.anchors();
                  });
      });
      return;
    }
    for_each_task(count, lanes, [&](Index place, BackwardLane<Types>& lane) {
      const Part p = part_of(first + place);
      with_walk(p, place, r, p.sequence, true, false, lane, [&](const Head<T, M>& head, Walk& walk) {
        walk.finish(options_.plan.chunk, halves.anchors[place], decay_of_token(head, mask_gradients[r]));
        give_gates(head, lane.tiles.scalars, mask_gradients[r]);
      });
      if constexpr (M::decay == mask::DecayKind::per_head) {
        const double* sums = halves.decay_sums + 4 * place;
        *head_sum(shared, r, p, p.first) = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      }
      if (r + 1 < masks.size()) return;
      const GradientRows<A> rows = gradients_of(p, place, true, true);
      narrow(rows.dv, p.sequence, E, out.dv, p.b, p.first);
      if (!alone) return;
      narrow(rows.dq, p.sequence, D, out.dq, p.b, p.group);
      narrow(rows.dk, p.sequence, D, out.dk, p.b, p.group);
    });
  });
}

}  // namespace lion::cpu
