#pragma once
/// A forward call on the GPU: its scratch, and its kernels in order.

#include "lion/cuda/call.hpp"
#include "lion/cuda/output.hpp"
#include "lion/cuda/recurrent.hpp"
#include "lion/cuda/state.hpp"

namespace lion::cuda {

template <class T, class M, class N, class Dir, bool recurrent>
class ForwardCall {
 public:
  using A = accumulator_t<T>;
  using Masks = std::span<const OrderedMask<M, T>>;

  explicit ForwardCall(const Call<T, M>& call)
      : call_(call),
        states_(!recurrent && call.states()),
        waits_(call.orders > 1 || (recurrent && Dir::past && Dir::future)) {
    with_width(call.dims.D, call.dims.E, [&](auto width) {
      constexpr int W = width;
      Arena arena;
      Scratch<W>(arena, *this);
      scratch_ = arena.used();
    });
  }

  /// Bytes, beginning at a multiple of kAlignment.
  std::size_t scratch() const { return scratch_; }

  /// y, and δ if wanted. Scratch is the device's memory.
  template <class Launcher>
  void run(const Launcher& launcher, Masks masks, const SegmentEdges<A>& edges, const AttentionOutputs<T>& out,
           std::byte* scratch) const {
    Finish<T, N> finish;
    finish.y = tokens_of(out.y);
    finish.row_sum = out.row_sum;
    run_rows(launcher, masks, edges, finish, scratch);
  }

  /// The weights and slopes of upstream rows, y unseen.
  template <class Launcher>
  void run(const Launcher& launcher, Masks masks, const SegmentEdges<A>& edges, const Upstream<T>& upstream,
           std::byte* scratch) const
    requires(!recurrent)
  {
    Finish<T, N> finish;
    finish.upstream = upstream;
    run_rows(launcher, masks, edges, finish, scratch);
  }

  /// What the keys and values of a segment hand on.
  template <class Launcher>
  void summarise(const Launcher& launcher, const OrderedMask<M, T>& ordered, const SegmentSummary<A>& out) const {
    with_width(call_.dims.D, call_.dims.E, [&](auto width) {
      constexpr int W = width;
      launch_summary<N, W>(launcher, call_, KeysEnter<T, M>{call_.walk(ordered)}, out);
    });
  }

 private:
  template <int W>
  struct Scratch {
    static constexpr int kColumns = kValueColumns<W, N::divides>;
    ChunkStates<T> past, future;
    A* waiting = nullptr;  // [B, H, L, kColumns]

    Scratch(Arena& arena, const ForwardCall& forward) {
      const Call<T, M>& call = forward.call_;
      if (forward.states_) {
        if (Dir::past) past = call.take_states(arena, W, kColumns);
        if (Dir::future && !call.options.plan.global) future = call.take_states(arena, W, kColumns);
      }
      if (forward.waits_) waiting = arena.take<A>(call.dims.B * call.dims.H * call.dims.L * kColumns);
    }
  };

  template <class Launcher>
  void run_rows(const Launcher& launcher, Masks masks, const SegmentEdges<A>& edges, Finish<T, N> finish,
                std::byte* scratch) const {
    if (call_.dims.B * call_.dims.H * call_.dims.L == 0) return;
    with_width(call_.dims.D, call_.dims.E, [&](auto width) {
      constexpr int W = width;
      Arena arena(scratch);
      const Scratch<W> s(arena, *this);
      finish.waiting = s.waiting;
      finish.heads = call_.dims.H;
      finish.length = call_.dims.L;
      finish.columns = Scratch<W>::kColumns;
      finish.share = call_.share();
      finish.epsilon = static_cast<A>(call_.options.epsilon);
      for (std::size_t r = 0; r < masks.size(); ++r) {
        finish.adds = r > 0;
        finish.completes = r + 1 == masks.size();
        run_order<W>(launcher, masks[r], edges, finish, s);
      }
    });
  }

  template <int W, class Launcher>
  void run_order(const Launcher& launcher, const OrderedMask<M, T>& ordered, const SegmentEdges<A>& edges,
                 Finish<T, N> finish, const Scratch<W>& scratch) const {
    const AttentionDims& dims = call_.dims;
    const Sequences cut = call_.sequences();
    if constexpr (recurrent) {
      const Shape<3> by_sequence{cut.count, dims.H, dims.B};
      const bool last = finish.completes;
      if constexpr (Dir::past) {
        finish.completes = last && !Dir::future;
        using Kernel = RecurrentKernel<T, M, N, true, true, W>;
        launcher.template launch<Kernel>("attention_recurrent", by_sequence, shared_size<typename Kernel::Shared>(),
                                         {call_.walk(ordered), finish, edges.from_earlier, edges.to_later});
        finish.adds = true;
      }
      if constexpr (Dir::future) {
        finish.completes = last;
        using Kernel = RecurrentKernel<T, M, N, false, !Dir::past, W>;
        launcher.template launch<Kernel>("attention_recurrent", by_sequence, shared_size<typename Kernel::Shared>(),
                                         {call_.walk(ordered), finish, edges.from_later, edges.to_earlier});
      }
    } else {
      if (states_) {
        launch_states<N, W>(launcher, call_, KeysEnter<T, M>{call_.walk(ordered)}, scratch.past, scratch.future, edges);
      }
      using Kernel = OutputKernel<T, M, N, Dir, W>;
      typename Kernel::Parameters p{call_.walk(ordered), scratch.past, scratch.future};
      p.chunk = call_.chunk;
      p.global = call_.options.plan.global;
      p.open_left = static_cast<bool>(edges.from_earlier);
      p.open_right = static_cast<bool>(edges.from_later);
      p.finish = finish;
      launcher.template launch<Kernel>("attention_output", {cut.slots(Kernel::kRows), dims.H, dims.B},
                                       shared_size<typename Kernel::Shared>(), p);
    }
  }

  const Call<T, M>& call_;
  bool states_, waits_;
  std::size_t scratch_ = 0;
};

}  // namespace lion::cuda
