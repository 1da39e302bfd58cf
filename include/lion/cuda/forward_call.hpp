#pragma once
/// A forward call on the GPU: its scratch, and its kernels in order.

#include <algorithm>
#include <span>
#include <type_traits>

#include "lion/core/workspace.hpp"
#include "lion/cuda/output.hpp"
#include "lion/cuda/recurrent.hpp"
#include "lion/form/cost.hpp"

namespace lion::cuda {

/// Heads of any width up to this are computed as the next of 32, 64 and 128.
inline constexpr Index kWidest = 128;

/// f(std::integral_constant<int, W>) with the narrowest W that holds both widths.
template <class F>
void with_width(Index D, Index E, F&& f) {
  const Index widest = D > E ? D : E;
  if (widest <= 32) return f(std::integral_constant<int, 32>());
  if (widest <= 64) return f(std::integral_constant<int, 64>());
  return f(std::integral_constant<int, 128>());
}

/// What a call does beside its tensors.
struct CallOptions {
  form::Plan plan;
  double scale = 1;
  double epsilon = 0;
};

template <class T, class M, class N, class Dir, bool recurrent>
class ForwardCall {
 public:
  using A = accumulator_t<T>;
  using Masks = std::span<const OrderedMask<M, T>>;

  ForwardCall(const AttentionInputs<T>& in, const AttentionDims& dims, const CallOptions& options, std::size_t orders)
      : in_(in), dims_(dims), options_(options), orders_(orders) {
    constexpr Index kRows = kTileRows<T>;
    const Index whole = (std::max)(dims.L, Index(1));
    chunk_ = ((std::min)(options.plan.chunk, whole) + kRows - 1) / kRows * kRows;
    if (options.plan.global) chunk_ = whole;
    states_ = !recurrent && dims.L > 0 && (options.plan.global || chunk_ < dims.L);
    waits_ = orders > 1 || (recurrent && Dir::past && Dir::future);
    with_width(dims.D, dims.E, [&](auto width) {
      constexpr int W = width;
      Arena arena;
      Scratch<W>(arena, *this);
      scratch_ = arena.used() > 0 ? arena.used() + kAlignment : 0;
    });
  }

  std::size_t scratch() const { return scratch_; }

  /// Scratch is the device's memory, of any alignment.
  template <class Launcher>
  void run(const Launcher& launcher, Masks masks, const AttentionOutputs<T>& out, std::byte* scratch) const {
    if (dims_.B * dims_.H * dims_.L == 0) return;
    with_width(dims_.D, dims_.E, [&](auto width) {
      constexpr int W = width;
      const auto skip = (kAlignment - reinterpret_cast<std::uintptr_t>(scratch) % kAlignment) % kAlignment;
      Arena arena(scratch + skip);
      const Scratch<W> s(arena, *this);
      for (std::size_t r = 0; r < masks.size(); ++r) run_order<W>(launcher, masks[r], r, out, s);
    });
  }

 private:
  template <int W>
  struct Scratch {
    static constexpr int kColumns = kValueColumns<W, N::divides>;
    ChunkStates<T> past, future;
    A* waiting = nullptr;  // [B, H, L, kColumns]

    Scratch(Arena& arena, const ForwardCall& call) {
      const AttentionDims& d = call.dims_;
      if (call.states_) {
        if (Dir::past) past = states(arena, call);
        if (Dir::future && !call.options_.plan.global) future = states(arena, call);
      }
      if (call.waits_) waiting = arena.take<A>(d.B * d.H * d.L * kColumns);
    }

    static ChunkStates<T> states(Arena& arena, const ForwardCall& call) {
      const AttentionDims& d = call.dims_;
      ChunkStates<T> s;
      s.heads = d.H;
      s.slots = call.sequences().slots(call.chunk_);
      s.size = call.chunk_;
      s.data = arena.take<T>(d.B * d.H * s.slots * W * kColumns);
      s.factor = arena.take<A>(d.B * d.H * s.slots);
      return s;
    }
  };

  Sequences sequences() const {
    const std::span<const Index> cuts = in_.cu_seqlens;
    if (cuts.empty()) return {nullptr, 1, dims_.L};
    return {cuts.data(), static_cast<Index>(cuts.size()) - 1, dims_.L};
  }

  Walk<T, M> walk(const OrderedMask<M, T>& ordered) const {
    Walk<T, M> walk;
    walk.mask = ordered.mask;
    walk.order = ordered.order.empty() ? nullptr : ordered.order.data();
    walk.q = tokens_of(in_.q);
    walk.k = tokens_of(in_.k);
    walk.v = tokens_of(in_.v);
    if (in_.key_mask) {
      walk.key_mask = in_.key_mask.data();
      walk.key_mask_batch = in_.key_mask.stride(0);
      walk.key_mask_token = in_.key_mask.stride(1);
    }
    walk.group = dims_.H / dims_.Hk;
    walk.sequences = sequences();
    walk.scale = static_cast<A>(options_.scale);
    return walk;
  }

  template <int W, class Launcher>
  void run_order(const Launcher& launcher, const OrderedMask<M, T>& ordered, std::size_t r,
                 const AttentionOutputs<T>& out, const Scratch<W>& scratch) const {
    const Sequences cut = sequences();
    Finish<T, N> finish;
    finish.y = tokens_of(out.y);
    finish.row_sum = out.row_sum;
    finish.waiting = scratch.waiting;
    finish.heads = dims_.H;
    finish.length = dims_.L;
    finish.columns = Scratch<W>::kColumns;
    finish.share = A(1) / static_cast<A>(orders_);
    finish.epsilon = static_cast<A>(options_.epsilon);
    finish.adds = r > 0;
    finish.completes = r + 1 == orders_;
    const Shape<3> by_sequence{cut.count, dims_.H, dims_.B};
    if constexpr (recurrent) {
      const bool last = finish.completes;
      if constexpr (Dir::past) {
        finish.completes = last && !Dir::future;
        using Kernel = RecurrentKernel<T, M, N, true, true, W>;
        launcher.template launch<Kernel>("attention_recurrent", by_sequence, shared_size<typename Kernel::Shared>(),
                                         {walk(ordered), finish});
        finish.adds = true;
      }
      if constexpr (Dir::future) {
        finish.completes = last;
        using Kernel = RecurrentKernel<T, M, N, false, !Dir::past, W>;
        launcher.template launch<Kernel>("attention_recurrent", by_sequence, shared_size<typename Kernel::Shared>(),
                                         {walk(ordered), finish});
      }
    } else {
      if (states_) {
        using Kernel = StateKernel<T, M, N, W>;
        typename Kernel::Parameters p{walk(ordered), scratch.past, scratch.future};
        p.global = options_.plan.global;
        p.first_direction = Dir::past ? 0 : 1;
        p.directions = Dir::past && Dir::future && !p.global ? 2 : 1;
        launcher.template launch<Kernel>("attention_states", {cut.count, dims_.H, dims_.B * p.directions},
                                         shared_size<typename Kernel::Shared>(), p);
      }
      using Kernel = OutputKernel<T, M, N, Dir, W>;
      typename Kernel::Parameters p{walk(ordered), scratch.past, scratch.future};
      p.chunk = chunk_;
      p.global = options_.plan.global;
      p.finish = finish;
      launcher.template launch<Kernel>("attention_output", {cut.slots(Kernel::kRows), dims_.H, dims_.B},
                                       shared_size<typename Kernel::Shared>(), p);
    }
  }

  const AttentionInputs<T>& in_;
  AttentionDims dims_;
  CallOptions options_;
  std::size_t orders_;
  Index chunk_ = 1;
  bool states_ = false, waits_ = false;
  std::size_t scratch_ = 0;
};

}  // namespace lion::cuda
