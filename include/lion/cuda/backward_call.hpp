#pragma once
/// A backward call on the GPU: its scratch, and its kernels in order.

#include <limits>

#include "lion/cuda/decay_gradient.hpp"
#include "lion/cuda/forward_call.hpp"
#include "lion/cuda/key_gradient.hpp"
#include "lion/cuda/query_gradient.hpp"

namespace lion::cuda {

/// Every form by way of chunks (the recurrent one in chunks of a tile).
template <class T, class M, class N, class Dir>
class BackwardCall {
 public:
  using A = accumulator_t<T>;
  using Masks = std::span<const OrderedMask<M, T>>;
  using Gradients = std::span<const MaskGradients<M, T>>;

  /// `again`: y and δ are not given.
  BackwardCall(const Call<T, M>& call, bool again) : call_(call), again_(again && N::divides), forward_(call) {
    with_width(call.dims.D, call.dims.E, [&](auto width) {
      constexpr int W = width;
      Arena arena;
      take_upstream(arena);
      forward_begin_ = aligned(arena.used());
      Scratch<W>(arena, *this);
      scratch_ = (std::max)(arena.used(), again_ ? forward_begin_ + forward_.scratch() : 0);
    });
  }

  /// Bytes, beginning at a multiple of kAlignment.
  std::size_t scratch() const { return scratch_; }

  /// Scratch is the device's memory.
  template <class Launcher>
  void run(const Launcher& launcher, Masks masks, const AttentionUpstream<T>& given, const AttentionGradients<T>& out,
           Gradients mask_gradients, const IncomingBackward<A>& incoming, std::byte* scratch) const {
    Arena arena(scratch);
    Upstream<T> upstream = take_upstream(arena);
    upstream.dy = tokens_of(given.dy);
    make_upstream(launcher, masks, incoming.keys, given, upstream, scratch);
    with_width(call_.dims.D, call_.dims.E, [&](auto width) {
      constexpr int W = width;
      const Scratch<W> s(arena, *this);
      for (std::size_t r = 0; r < masks.size(); ++r) {
        run_order<W>(launcher, masks[r], mask_gradients[r], incoming, r, upstream, out, s);
      }
    });
  }

  /// What the queries and upstream rows of a segment hand on, given y and δ.
  template <class Launcher>
  void summarise(const Launcher& launcher, const OrderedMask<M, T>& ordered, const AttentionUpstream<T>& given,
                 const SegmentSummary<A>& out, std::byte* scratch) const {
    Arena arena(scratch);
    Upstream<T> upstream = take_upstream(arena);
    upstream.dy = tokens_of(given.dy);
    make_upstream(launcher, {&ordered, 1}, {}, given, upstream, scratch);
    with_width(call_.dims.D, call_.dims.E, [&](auto width) {
      constexpr int W = width;
      launch_summary<N, W>(launcher, call_, QueriesEnter<T, M>{call_.walk(ordered), upstream}, out);
    });
  }

 private:
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;
  /// Half's normal numbers end at 2^-14: sums of rows are kept in units of their weights.
  static constexpr bool narrow_range = std::same_as<T, half>;

  Upstream<T> take_upstream(Arena& arena) const {
    const AttentionDims& d = call_.dims;
    Upstream<T> upstream;
    if constexpr (N::divides) {
      upstream.weights = arena.take<A>(d.B * d.H * d.L);
      upstream.slopes = arena.take<A>(d.B * d.H * d.L);
      if constexpr (narrow_range) upstream.units = arena.take<A>(d.B * d.H);
    }
    upstream.heads = d.H;
    upstream.length = d.L;
    upstream.share = call_.share();
    return upstream;
  }

  template <int W>
  struct Scratch {
    static constexpr int kColumns = kValueColumns<W, N::divides>;
    ChunkStates<T> keys_left, keys_right;        // F, G
    ChunkStates<T> queries_left, queries_right;  // T, R
    MaskScalars<A> scalars;
    double* of_chunks = nullptr;                    // [B, H, chunks], with one decay per head
    A *dq = nullptr, *dk = nullptr, *dv = nullptr;  // [B, heads, L, W], where more than one order or head adds to rows

    Scratch(Arena& arena, const BackwardCall& backward) {
      const Call<T, M>& call = backward.call_;
      const AttentionDims& d = call.dims;
      const bool global = call.options.plan.global;
      if (call.states()) {
        if (Dir::past) {
          keys_left = call.take_states(arena, W, kColumns);
          // A global state is all in one: kept where the left to right sweep keeps it.
          (global ? queries_left : queries_right) = call.take_states(arena, W, kColumns);
        }
        if (Dir::future && !global) {
          keys_right = call.take_states(arena, W, kColumns);
          queries_left = call.take_states(arena, W, kColumns);
        }
      }
      const Index rows = d.B * d.H * d.L;
      if constexpr (decays) {
        scalars.heads = d.H;
        scalars.length = d.L;
        for (A** of : {&scalars.query_past, &scalars.query_future, &scalars.key_past, &scalars.key_future,
                       &scalars.inner_past, &scalars.inner_future}) {
          *of = arena.take<A>(rows);
        }
      }
      if constexpr (per_head) of_chunks = arena.take<double>(d.B * d.H * call.sequences().slots(call.chunk));
      if (call.orders > 1 || d.H > d.Hk) {
        dq = arena.take<A>(d.B * d.Hk * d.L * W);
        dk = arena.take<A>(d.B * d.Hk * d.L * W);
      }
      if (call.orders > 1) dv = arena.take<A>(rows * W);
    }
  };

  /// The weights and slopes of the upstream rows, and their units.
  template <class Launcher>
  void make_upstream(const Launcher& launcher, Masks masks, const Incoming<A>& keys, const AttentionUpstream<T>& given,
                     const Upstream<T>& upstream, std::byte* scratch) const {
    if constexpr (N::divides) {
      const AttentionDims& d = call_.dims;
      if (again_) {
        forward_.run(launcher, masks, edges_of(keys), upstream, scratch + forward_begin_);
      } else {
        using Kernel = UpstreamKernel<T>;
        launcher.template launch<Kernel>("attention_upstream", {(d.L + Kernel::kRows - 1) / Kernel::kRows, d.H, d.B}, 0,
                                         {upstream, tokens_of(given.y), given.row_sum});
      }
      if constexpr (narrow_range) {
        using Kernel = UnitKernel<T>;
        launcher.template launch<Kernel>("attention_units", {d.H, d.B, 1}, shared_size<typename Kernel::Shared>(),
                                         {upstream, static_cast<A>(call_.options.epsilon)});
      }
    }
  }

  static SegmentEdges<A> edges_of(const Incoming<A>& incoming) { return {incoming.from_earlier, incoming.from_later}; }

  Gather<T> gather(const View<T, 4>& to, A* waiting, int W, std::size_t r) const {
    Gather<T> g;
    g.to = tokens_of(to);
    g.waiting = waiting;
    g.heads = to.extent(1);
    g.length = call_.dims.L;
    g.columns = W;
    g.adds = r > 0;
    g.completes = r + 1 == call_.orders;
    return g;
  }

  template <int W, class Launcher>
  void run_order(const Launcher& launcher, const OrderedMask<M, T>& ordered, const MaskGradients<M, T>& mask_gradients,
                 const IncomingBackward<A>& incoming, std::size_t r, const Upstream<T>& upstream,
                 const AttentionGradients<T>& out, const Scratch<W>& s) const {
    const AttentionDims& d = call_.dims;
    const Walk<T, M> walk = call_.walk(ordered);
    const bool global = call_.options.plan.global;
    if (call_.states()) {
      launch_states<N, W>(launcher, call_, KeysEnter<T, M>{walk}, s.keys_left, s.keys_right, edges_of(incoming.keys));
      launch_states<N, W>(launcher, call_, QueriesEnter<T, M>{walk, upstream}, s.queries_left, s.queries_right,
                          edges_of(incoming.queries));
    }
    const Shape<3> tiles{walk.sequences.slots(kTileRows<T>), d.Hk, d.B};
    {
      using Kernel = QueryGradientKernel<T, M, N, Dir, W>;
      typename Kernel::Parameters p{walk, upstream, s.keys_left, s.keys_right};
      p.chunk = call_.chunk;
      p.global = global;
      p.open_left = static_cast<bool>(incoming.keys.from_earlier);
      p.open_right = static_cast<bool>(incoming.keys.from_later);
      p.dq = gather(out.dq, s.dq, W, r);
      p.scalars = s.scalars;
      launcher.template launch<Kernel>("attention_query_gradients", tiles, shared_size<typename Kernel::Shared>(), p);
    }
    {
      using Kernel = KeyGradientKernel<T, M, N, Dir, W>;
      typename Kernel::Parameters p{walk, upstream, global ? s.queries_left : s.queries_right, s.queries_left};
      p.chunk = call_.chunk;
      p.global = global;
      p.open_left = static_cast<bool>(incoming.queries.from_earlier);
      p.open_right = static_cast<bool>(incoming.queries.from_later);
      p.dk = gather(out.dk, s.dk, W, r);
      p.dv = gather(out.dv, s.dv, W, r);
      p.scalars = s.scalars;
      p.gradients = mask_gradients;
      launcher.template launch<Kernel>("attention_key_gradients", tiles, shared_size<typename Kernel::Shared>(), p);
    }
    if constexpr (decays) {
      const Index slots = walk.sequences.slots(call_.chunk);
      using Kernel = DecayGradientKernel<T, M, N, W>;
      typename Kernel::Parameters p{walk, upstream, s.keys_left, s.keys_right, s.queries_left, s.queries_right};
      p.chunk = call_.chunk;
      p.slots = slots;
      p.past_comes_in = static_cast<bool>(incoming.keys.from_earlier);
      p.past_goes_on = static_cast<bool>(incoming.queries.from_later);
      p.future_comes_in = static_cast<bool>(incoming.keys.from_later);
      p.future_goes_on = static_cast<bool>(incoming.queries.from_earlier);
      p.scalars = s.scalars;
      p.gradients = mask_gradients;
      p.of_chunks = s.of_chunks;
      launcher.template launch<Kernel>("attention_decay_gradients", {slots, d.H, d.B}, 0, p);
      if constexpr (per_head) {
        launcher.template launch<HeadDecayGradientKernel<T, M>>(
            "attention_head_decay_gradients", {d.H, 1, 1}, 0,
            {walk, mask_gradients, s.of_chunks, d.B, d.H, d.L > 0 ? slots : 0});
      }
    }
  }

  const Call<T, M>& call_;
  bool again_;
  ForwardCall<T, M, N, Dir, false> forward_;
  std::size_t forward_begin_ = 0, scratch_ = 0;
};

}  // namespace lion::cuda
