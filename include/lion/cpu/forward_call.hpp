#pragma once
/// A forward call on the CPU: its tasks (one per head of a sequence), their scratch, and the division by the row sum.

#include "lion/cpu/door.hpp"
#include "lion/cpu/forward.hpp"
#include "lion/cpu/rnn_forward.hpp"
#include "lion/cpu/subnormals.hpp"

namespace lion::cpu {

/// What a call does beside its tensors.
struct CallOptions {
  form::Plan plan;
  double scale = 1;
  double epsilon = 0;
  Index longest = 0;  ///< tokens of the longest sequence
};

/// The types a call is made of. Full, chunk and auto are one algorithm under different plans, so the form itself is
/// not among them.
template <class T_, class M_, bool recurrent_, class N_, class Dir_>
struct CallTypes {
  using T = T_;
  using M = M_;
  using Normaliser = N_;
  using Direction = Dir_;
  using A = accumulator_t<T>;
  using Masks = std::span<const OrderedMask<M, T>>;
  static constexpr bool recurrent = recurrent_;
  static constexpr bool both = Direction::past && Direction::future;
};

/// The head of v that a task works on.
template <class T, class M>
Head<T, M> head_of(const AttentionInputs<T>& in, const OrderedMask<M, T>& mask, const AttentionDims& dims, Index b,
                   Index h, Stretch sequence, double scale) {
  Head<T, M> head;
  head.mask = &mask.mask;
  head.order = mask.order.empty() ? nullptr : mask.order.data();
  const Index shared = h * dims.Hk / dims.H;
  head.q = rows_of(in.q, b, shared);
  head.k = rows_of(in.k, b, shared);
  head.v = rows_of(in.v, b, h);
  if (in.key_mask.data()) {
    head.key_mask = in.key_mask.at(b);
    head.key_mask_stride = in.key_mask.stride(1);
  }
  head.b = b;
  head.h = h;
  head.D = dims.D;
  head.E = dims.E;
  head.scale = static_cast<accumulator_t<T>>(scale);
  head.sequence = sequence;
  return head;
}

/// Scratch of one lane of a forward call.
template <class Types>
struct ForwardLane {
  using A = typename Types::A;
  using M = typename Types::M;
  using Tiles = std::conditional_t<Types::recurrent, RnnScratch<A, M::decay>,
                                   ForwardScratch<A, M::decay, TileProducts<typename Types::T>>>;

  Tiles tiles;
  Tile<A> n;               // [kTile, E]
  A* d;                    // [kTile]
  A* waiting_d = nullptr;  // [L], where rows are visited more than once and divided
  A* waiting_n = nullptr;  // [L, E], where y cannot hold the sums

  /// `revisits`: rows are visited more than once; `held`: y can hold their sums.
  ForwardLane(Arena& arena, const AttentionDims& dims, bool revisits, bool held = std::same_as<typename Types::T, A>)
      : tiles(arena, dims.D, dims.E), n(take_tile<A>(arena, kTile, dims.E)), d(arena.take<A>(kTile)) {
    if (revisits && Types::Normaliser::divides) waiting_d = arena.take<A>(dims.L);
    if (revisits && !held) waiting_n = arena.take<A>(dims.L * dims.E);
  }
};

/// What the sums of one head along one order are made by.
template <class Types, class Finish>
using ForwardWalkOf = std::conditional_t<
    Types::recurrent,
    RnnForwardWalk<typename Types::T, typename Types::M, typename Types::Normaliser, typename Types::Direction, Finish>,
    ForwardWalk<typename Types::T, typename Types::M, typename Types::Normaliser, typename Types::Direction, Finish>>;

/// Whether rows are visited more than once: by two sweeps, or by several orders.
template <class Types>
bool revisits_rows(const CallOptions& options, std::size_t orders, bool incoming) {
  if (orders > 1) return true;
  if (options.plan.global || !Types::both) return false;
  return Types::recurrent || incoming || options.plan.chunk < options.longest;
}

/// All orders of one head: see RowSums for finish. `wide` are rows that hold sums.
template <class Types, class Finish>
void forward_head(const AttentionInputs<typename Types::T>& in, typename Types::Masks masks, const CallOptions& options,
                  const AttentionDims& dims, Index b, Index h, Stretch sequence, ForwardLane<Types>& lane,
                  Rows<typename Types::A> wide, const Incoming<typename Types::A>& incoming,
                  const View<typename Types::A, 4>& outgoing, Finish&& finish) {
  using A = typename Types::A;
  using Walk = ForwardWalkOf<Types, Finish&>;
  RowSums<A, Finish&> rows{lane.n, lane.d, wide, lane.waiting_d, Types::Normaliser::divides, finish};
  for (std::size_t r = 0; r < masks.size(); ++r) {
    rows.last_order = r + 1 == masks.size();
    const auto head = head_of(in, masks[r], dims, b, h, sequence, options.scale);
    Walk walk(head, rows, lane.tiles);
    if constexpr (Walk::collapses) {
      if (options.plan.global) {
        walk.run_global(incoming);
        continue;
      }
    }
    walk.run(options.plan.chunk, incoming, outgoing);
  }
}

/// How long sequences are cut in two, of tasks that a call has one of for each head of each sequence.
template <class Types>
Halves halves_of(Index sequences, const CallOptions& options) {
  if (!Types::both) return {};
  const bool by_token = Types::recurrent || options.plan.global;
  return Halves::where_they_pay(sequences, options.longest, by_token ? kTile : options.plan.chunk);
}

/// What the two halves of a sequence share, for each of `sequences` in work at once: states, and sums that wait.
template <class Types>
struct ForwardHalves {
  using A = typename Types::A;
  MiddleStates<A> states;
  A* waiting_d = nullptr;  // [sequences, L], where rows are visited more than once and divided
  A* waiting_n = nullptr;  // [sequences, L, E], where y cannot hold the sums

  ForwardHalves() = default;
  ForwardHalves(Arena& arena, Index sequences, const AttentionDims& dims, bool revisits,
                bool held = std::same_as<typename Types::T, A>)
      : states(arena, sequences, 1, dims.D, dims.E) {
    if (revisits && Types::Normaliser::divides) waiting_d = arena.take<A>(sequences * dims.L);
    if (revisits && !held) waiting_n = arena.take<A>(sequences * dims.L * dims.E);
  }
};

/// One pass of order `r` over a half of a sequence: the one of `states`, its sums waiting in `waiting_d`; see RowSums
/// for finish.
template <class Types, class Finish>
void forward_half(const AttentionInputs<typename Types::T>& in, typename Types::Masks masks, std::size_t r,
                  const CallOptions& options, const AttentionDims& dims, Index b, Index h, Stretch half, HalfPass pass,
                  ForwardLane<Types>& lane, Rows<typename Types::A> wide, typename Types::A* waiting_d,
                  const Incoming<typename Types::A>& incoming, const View<typename Types::A, 4>& of_earlier,
                  const View<typename Types::A, 4>& of_later, Finish&& finish) {
  using A = typename Types::A;
  RowSums<A, Finish&> rows{lane.n, lane.d, wide, waiting_d, Types::Normaliser::divides, finish};
  rows.filled = r > 0 || (pass.outwards && !options.plan.global);
  rows.last_order = r + 1 == masks.size();
  const auto head = head_of(in, masks[r], dims, b, h, half, options.scale);
  ForwardWalkOf<Types, Finish&>(head, rows, lane.tiles).pass(pass, options.plan, incoming, of_earlier, of_later);
}

/// y and δ from the complete sums n [rows, E] and d [kTile] of a tile (math.md §1): take(row, n_row, factor, δ), y
/// being factor · n, or 0 whatever n is where the factor is. `take` is a copy, as what it holds by value then stays in
/// registers.
template <class Normaliser, class A, class Take>
void divide_rows(Tile<A> n, const A* d, Index rows, double epsilon, A share, Take take) {
  A delta[kTile] = {}, factor[kTile];
  if constexpr (Normaliser::divides) {
    for (Index i = 0; i < rows; i += kWidth<A>) {
      const Packed<A> sum = share * load(d + i) + static_cast<A>(epsilon);
      store(delta + i, sum);
      const Packed<A> quotient = share / (sum == A(0) ? filled(A(1)) : sum);
      store<A>(factor + i, sum == A(0) ? filled(A(0)) : quotient);
    }
  } else {
    std::fill_n(factor, rows, share);
  }
  for (Index i = 0; i < rows; ++i) take(i, n(i), factor[i], delta[i]);
}

/// to = factor · from, rounded to To; 0 whatever `from` is if the factor is.
template <class A, class To>
LION_ALWAYS_INLINE void finish_row(const A* from, Index width, A factor, To* to) {
  if (factor == A(0)) {
    std::fill_n(to, width, To(0));
  } else if constexpr (std::same_as<A, To>) {
    if (factor != A(1) || from != to) scale_row(from, width, factor, to);
  } else {
    store_row(from, width, factor, to);
  }
}

template <class Types>
class ForwardCall {
 public:
  using T = typename Types::T;
  using A = typename Types::A;

  ForwardCall(const AttentionInputs<T>& in, const AttentionDims& dims, const CallOptions& options, std::size_t orders,
              bool incoming, const Executor& executor)
      : in_(in), dims_(dims), options_(options), executor_(executor) {
    tasks_ = dims.L == 0 ? 0 : dims.B * dims.H * sequence_count(in);
    halves_ = halves_of<Types>(tasks_, options);
    at_once_ = executor.lanes(tasks_);
    lanes_ = executor.lanes(halves_ ? 2 * at_once_ : tasks_);
    revisits_ = revisits_rows<Types>(options, orders, incoming);
    Arena shared;
    if (halves_) ForwardHalves<Types>(shared, at_once_, dims, revisits_);
    shared_size_ = aligned(shared.used());
    Arena arena;
    ForwardLane<Types>(arena, dims, revisits_ && !halves_);
    // Sums of misaligned rows are taken in another order: every lane begins alike, for the same bits.
    lane_size_ = aligned(arena.used());
  }

  std::size_t scratch() const { return shared_size_ + static_cast<std::size_t>(lanes_) * lane_size_; }

  void run(typename Types::Masks masks, const AttentionOutputs<T>& out, const Incoming<A>& incoming,
           const View<A, 4>& outgoing, std::byte* scratch) const;

 private:
  const AttentionInputs<T>& in_;
  AttentionDims dims_;
  CallOptions options_;
  Executor executor_;
  Halves halves_;
  Index tasks_ = 0, lanes_ = 1, at_once_ = 1;  // at_once: sequences in halves
  bool revisits_ = false;
  std::size_t shared_size_ = 0, lane_size_ = 0;
};

// Outside the class, and so not inline: `extern template` (cpu/kernels.hpp) keeps it out of other files.
template <class Types>
void ForwardCall<Types>::run(typename Types::Masks masks, const AttentionOutputs<T>& out, const Incoming<A>& incoming,
                             const View<A, 4>& outgoing, std::byte* scratch) const {
  Arena arena_of_all(scratch);
  ForwardHalves<Types> shared;
  if (halves_) shared = ForwardHalves<Types>(arena_of_all, at_once_, dims_, revisits_);
  std::byte* lanes = scratch + shared_size_;
  const auto in_lane = [&](Index lane_index, auto&& body) {
    const FlushSubnormals flush;
    Arena arena(lanes + static_cast<std::size_t>(lane_index) * lane_size_);
    ForwardLane<Types> lane(arena, dims_, revisits_ && !halves_);
    body(lane);
  };
  // body(b, h, sequence, finish, wide), where waiting_n is of this head
  const auto of_sequence = [&](Index index, A* waiting_n, auto&& body) {
    const Index count = sequence_count(in_), b = index / count / dims_.H, h = index / count % dims_.H;
    const Rows<T> y = rows_of(out.y, b, h);
    const A share = A(1) / static_cast<A>(masks.size());
    A* const row_sum = out.row_sum ? out.row_sum.at(b, h) : nullptr;
    const Index apart = row_sum ? out.row_sum.stride(2) : 0;
    const auto finish = [&](auto token_of, Tile<A> n, const A* d, Index rows) {
      divide_rows<typename Types::Normaliser>(
          n, d, rows, options_.epsilon, share,
          [token_of, y, row_sum, apart, E = dims_.E](Index i, const A* row, A factor, A delta) {
            const Index t = token_of(i);
            finish_row(row, E, factor, y(t));
            if (row_sum) row_sum[t * apart] = delta;
          });
    };
    Rows<A> wide;
    if constexpr (std::same_as<T, A>) {
      wide = y;
    } else {
      wide = {waiting_n, dims_.E};
    }
    body(b, h, sequence_of(in_, index % count), finish, wide);
  };
  if (!halves_) {
    return executor_.for_each_task(tasks_, [&](Index index, Index lane_index) {
      in_lane(lane_index, [&](ForwardLane<Types>& lane) {
        of_sequence(
            index, lane.waiting_n, [&](Index b, Index h, Stretch sequence, const auto& finish, const Rows<A>& wide) {
              forward_head<Types>(in_, masks, options_, dims_, b, h, sequence, lane, wide, incoming, outgoing, finish);
            });
      });
    });
  }
  const auto of_place = [&](A* waiting, Index place, Index width) {
    return waiting ? waiting + place * dims_.L * width : nullptr;
  };
  const Index passes = 2 * static_cast<Index>(masks.size());
  Halves::for_each_pass(tasks_, at_once_, passes, [&](Index first, Index count, Index pass) {
    executor_.for_each_task(2 * count, [&](Index task, Index lane_index) {
      const Index place = task / 2;
      const HalfPass half{task % 2 == 1, pass % 2 == 1};
      in_lane(lane_index, [&](ForwardLane<Types>& lane) {
        of_sequence(first + place, of_place(shared.waiting_n, place, dims_.E),
                    [&](Index b, Index h, Stretch sequence, const auto& finish, const Rows<A>& wide) {
                      forward_half<Types>(in_, masks, static_cast<std::size_t>(pass / 2), options_, dims_, b, h,
                                          halves_(sequence, half.later), half, lane, wide,
                                          of_place(shared.waiting_d, place, 1), incoming, shared.states(place, false),
                                          shared.states(place, true), finish);
                    });
      });
    });
  });
}

}  // namespace lion::cpu
