#pragma once
/// lion::Attention on the CPU.

#include "lion/cpu/backward_call.hpp"
#ifdef LION_EXTERN_KERNELS
#include "lion/cpu/kernels.hpp"
#endif

namespace lion {

/// The operator on the CPU, for every mask, form, normaliser and direction (math.md §1–§4). T is float or double, or
/// bfloat16 or half as storage with float arithmetic; A = accumulator_t<T>.
///
/// Scratch comes from the workspace, which grows if it owns its memory and throws ArgumentError if it is borrowed and
/// too small; after the door nothing is allocated. Results are the same bits for any executor.
///
/// Throws ArgumentError, before anything is written, for shapes, strides, orders, lengths or values out of range; the
/// message names the argument.
template <mask::Mask M, detail::Form F, detail::Normaliser N, detail::Direction Dir>
struct Attention<M, F, backend::Cpu, N, Dir> {
  F form{};
  N normaliser{};
  std::optional<double> scale{};  ///< s; default D^-1/2

  /// Bytes of scratch that `forward` takes with this executor, for inputs of these shapes and this many orders.
  template <class T>
  std::size_t workspace_size(const AttentionInputs<T>& in, Executor executor = {}, std::size_t orders = 1) const {
    const AttentionDims dims = cpu::checked_dims(in);
    return whole(cpu::ForwardCall<Types<T>>(in, dims, options(in, dims), orders, false, executor).scratch(), dims);
  }

  /// Bytes of scratch that `backward` takes; `kept`: y and row_sum are given to it.
  template <class T>
  std::size_t backward_workspace_size(const AttentionInputs<T>& in, Executor executor = {}, std::size_t orders = 1,
                                      bool kept = false) const {
    const AttentionDims dims = cpu::checked_dims(in);
    const bool again = N::divides && !kept;
    return whole(cpu::BackwardCall<Types<T>>(in, dims, options(in, dims), orders, again, executor).scratch(), dims);
  }

  /// y [B,H,L,E], and δ [B,H,L] if wanted, under the mean of the masks along their orders.
  template <class T>
  void forward(const AttentionInputs<T>& in, std::span<const std::type_identity_t<OrderedMask<M, T>>> masks,
               const std::type_identity_t<AttentionOutputs<T>>& out, Workspace& workspace,
               Executor executor = {}) const {
    run_forward(in, masks, out, {}, {}, workspace, executor);
  }

  /// The same under one mask, the tokens as they lie.
  template <class T>
  void forward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
               const std::type_identity_t<AttentionOutputs<T>>& out, Workspace& workspace,
               Executor executor = {}) const {
    const OrderedMask<M, T> single{mask};
    run_forward(in, {&single, 1}, out, {}, {}, workspace, executor);
  }

  /// The same with a workspace of its own, on the calling thread: for trying things out.
  template <class T>
  void forward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
               const std::type_identity_t<AttentionOutputs<T>>& out) const {
    Workspace workspace;
    forward(in, mask, out, workspace);
  }

  /// dq, dk [B,Hk,L,D], dv [B,H,L,E] and the gradients of each mask (math.md §4); all are overwritten.
  template <class T>
  void backward(const AttentionInputs<T>& in, std::span<const std::type_identity_t<OrderedMask<M, T>>> masks,
                const std::type_identity_t<AttentionUpstream<T>>& upstream,
                const std::type_identity_t<AttentionGradients<T>>& gradients,
                std::span<const std::type_identity_t<MaskGradients<M, T>>> mask_gradients, Workspace& workspace,
                Executor executor = {}) const {
    run_backward(in, masks, upstream, gradients, mask_gradients, {}, workspace, executor);
  }

  template <class T>
  void backward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                const std::type_identity_t<AttentionUpstream<T>>& upstream,
                const std::type_identity_t<AttentionGradients<T>>& gradients,
                const std::type_identity_t<MaskGradients<M, T>>& mask_gradients, Workspace& workspace,
                Executor executor = {}) const {
    const OrderedMask<M, T> single{mask};
    run_backward(in, {&single, 1}, upstream, gradients, {&mask_gradients, 1}, {}, workspace, executor);
  }

  template <class T>
  void backward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                const std::type_identity_t<AttentionUpstream<T>>& upstream,
                const std::type_identity_t<AttentionGradients<T>>& gradients,
                const std::type_identity_t<MaskGradients<M, T>>& mask_gradients) const {
    Workspace workspace;
    backward(in, mask, upstream, gradients, mask_gradients, workspace);
  }

  // ------------------------------------------------------------------------------------------------ in pieces
  // `in` is a segment of a longer sequence: one order, no cu_seqlens. See lion/segment.hpp.

  /// Bytes of scratch that `summarise`, `forward_segment` and `step` take, each alone.
  template <class T>
  std::size_t segment_workspace_size(const AttentionInputs<T>& in, Executor executor = {}) const {
    const AttentionDims dims = cpu::checked_dims(in);
    const cpu::ForwardCall<Types<T>> call(in, dims, options(in, dims), 1, true, executor);
    return (std::max)(whole(call.scratch(), dims), summary_scratch<ForwardTiles<T>>(dims, executor));
  }

  /// Bytes of scratch that `summarise_backward` and `backward_segment` take; `kept`: y and row_sum are given to it.
  template <class T>
  std::size_t segment_backward_workspace_size(const AttentionInputs<T>& in, Executor executor = {},
                                              bool kept = false) const {
    const AttentionDims dims = cpu::checked_dims(in);
    return (std::max)(backward_workspace_size(in, executor, 1, kept),
                      summary_scratch<BackwardTiles<T>>(dims, executor));
  }

  /// What the segment hands to the rest of the sequence: U, W and Λ (math.md §3).
  template <class T>
  void summarise(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                 const SegmentSummary<accumulator_t<T>>& out, Workspace& workspace, Executor executor = {}) const {
    const AttentionDims dims = segment_dims(in, mask);
    check_summary(out, dims);
    const double s = resolved_scale(dims);
    using A = accumulator_t<T>;
    using Tiles = ForwardTiles<T>;
    const OrderedMask<M, T> single{mask};
    for_each_head<Tiles>(dims, workspace, executor, [&](Arena& arena, Index b, Index h) {
      Tiles tiles(arena, dims.D, dims.E);
      const auto head = cpu::head_of(in, single, dims, b, h, {0, dims.L}, s);
      const auto nothing = [](auto&&, cpu::Tile<A>, const A*, Index) {};
      cpu::RowSums<A, decltype(nothing)> rows{{}, nullptr, {}, nullptr, false, nothing};
      cpu::ForwardWalk<T, M, N, Dir, decltype(nothing)> walk(head, rows, tiles);
      walk.template summarise<true>({});
      tiles.state.store(out.to_later, b, h);
      walk.template summarise<false>({});
      tiles.state.store(out.to_earlier, b, h);
      out.log_decay(b, h) = total_decay(head);
    });
  }

  /// The segment's y, given what comes into it.
  template <class T>
  void forward_segment(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                       const Incoming<accumulator_t<T>>& incoming, const std::type_identity_t<AttentionOutputs<T>>& out,
                       Workspace& workspace, Executor executor = {}) const {
    segment_dims(in, mask);
    const OrderedMask<M, T> single{mask};
    run_forward(in, {&single, 1}, out, incoming, {}, workspace, executor);
  }

  /// What the segment's queries and upstream gradients hand to the rest of the sequence: T, R and Λ (math.md §4). With
  /// row sums, upstream.y and upstream.row_sum are needed.
  template <class T>
  void summarise_backward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                          const std::type_identity_t<AttentionUpstream<T>>& upstream,
                          const SegmentSummary<accumulator_t<T>>& out, Workspace& workspace,
                          Executor executor = {}) const {
    const AttentionDims dims = segment_dims(in, mask);
    if (door::check_upstream<N::divides>(upstream, dims))
      cpu::fail("y and row_sum are absent, expected both for a segment's summary");
    check_summary(out, dims);
    const double s = resolved_scale(dims);
    using Tiles = BackwardTiles<T>;
    const OrderedMask<M, T> single{mask};
    for_each_head<Tiles>(dims, workspace, executor, [&](Arena& arena, Index b, Index h) {
      Tiles tiles(arena, dims.L, dims.D, dims.E);
      const auto head = cpu::head_of(in, single, dims, b, h, {0, dims.L}, s);
      cpu::UpstreamRows<T> rows;
      rows.dy = cpu::rows_of(upstream.dy, b, h);
      if constexpr (N::divides) {
        rows.y = cpu::rows_of(upstream.y, b, h);
        rows.row_sum = dims.L > 0 ? upstream.row_sum.at(b, h) : nullptr;
        rows.row_sum_stride = upstream.row_sum.stride(2);
      }
      cpu::BackwardWalk<T, M, N, Dir> walk(head, rows, {}, tiles);
      walk.template summarise<true>();
      tiles.queries.store(out.to_later, b, h);
      walk.template summarise<false>();
      tiles.queries.store(out.to_earlier, b, h);
      out.log_decay(b, h) = total_decay(head);
    });
  }

  /// The segment's gradients, given what comes into it in both passes.
  template <class T>
  void backward_segment(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                        const IncomingBackward<accumulator_t<T>>& incoming,
                        const std::type_identity_t<AttentionUpstream<T>>& upstream,
                        const std::type_identity_t<AttentionGradients<T>>& gradients,
                        const std::type_identity_t<MaskGradients<M, T>>& mask_gradients, Workspace& workspace,
                        Executor executor = {}) const {
    segment_dims(in, mask);
    const OrderedMask<M, T> single{mask};
    run_backward(in, {&single, 1}, upstream, gradients, {&mask_gradients, 1}, incoming, workspace, executor);
  }

  /// Streaming, for direction::Forward: the next tokens (often one) of sequences whose past is `state` [B,H,D,E+1],
  /// zero at the start. Writes their y and moves the state behind them (F_{i+1}, math.md §3); saving the state saves
  /// the stream.
  template <class T>
  void step(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
            const View<accumulator_t<T>, 4>& state, const std::type_identity_t<AttentionOutputs<T>>& out,
            Workspace& workspace, Executor executor = {}) const {
    static_assert(!Dir::future, "lion::Attention::step: the direction must be direction::Forward");
    const AttentionDims dims = segment_dims(in, mask);
    cpu::require_like<accumulator_t<T>>("state", state, {dims.B, dims.H, dims.D, dims.E + 1}, "");
    const OrderedMask<M, T> single{mask};
    run_forward(in, {&single, 1}, out, {.from_earlier = state}, state, workspace, executor);
  }

 private:
  template <class T>
  using Types = cpu::CallTypes<T, M, std::same_as<F, form::Rnn>, N, Dir>;
  template <class T>
  using ForwardTiles = cpu::ForwardScratch<accumulator_t<T>, M::decay, cpu::TileProducts<T>>;
  template <class T>
  using BackwardTiles = cpu::BackwardScratch<accumulator_t<T>, M, cpu::BackwardProducts<T, M>>;

  double resolved_scale(const AttentionDims& dims) const {
    const double s = scale ? *scale : 1.0 / std::sqrt(static_cast<double>(dims.D));
    cpu::require_finite("scale", s);
    return s;
  }

  template <class T>
  cpu::CallOptions options(const AttentionInputs<T>& in, const AttentionDims& dims) const {
    cpu::CallOptions options;
    if constexpr (std::same_as<F, form::Chunk>) {
      if (form.size < 1) cpu::fail("form::Chunk has size " + std::to_string(form.size) + ", expected at least 1");
    }
    options.longest = cpu::longest_sequence(in);
    constexpr bool both = Dir::past && Dir::future;
    if constexpr (std::same_as<F, form::Auto>) {
      options.plan = form::cheapest(M::decay, both, options.longest, dims.D, dims.E, cpu::TileProducts<T>::kAutoChunk);
    } else {
      options.plan = form::plan(form, M::decay, both, options.longest, dims.D, dims.E);
    }
    options.scale = resolved_scale(dims);
    if constexpr (N::divides) options.epsilon = normaliser.epsilon;
    cpu::require_finite("epsilon", options.epsilon);
    return options;
  }

  /// All of a call's scratch: orders are checked where the lanes work afterwards, and memory may begin at any address.
  static std::size_t whole(std::size_t lanes, const AttentionDims& dims) {
    return (std::max)(lanes, cpu::order_scratch(dims.L)) + kAlignment;
  }

  template <class T>
  AttentionDims segment_dims(const AttentionInputs<T>& in, const MaskParameters<M, T>& mask) const {
    const AttentionDims dims = cpu::checked_dims(in);
    if (!in.cu_seqlens.empty()) cpu::fail("cu_seqlens is given, expected none for a segment");
    mask.check(dims);
    return dims;
  }

  template <class Head>
  static typename Head::A total_decay(const Head& head) {
    double sum = 0;
    for (Index t = 0; t < head.sequence.size; ++t) sum += mask::bounded(head.log_decay(t));
    return static_cast<typename Head::A>(sum);
  }

  template <class A>
  static void check_summary(const SegmentSummary<A>& out, const AttentionDims& dims) {
    const Shape<4> shape{dims.B, dims.H, dims.D, dims.E + 1};
    cpu::require_like("summary.to_later", out.to_later, shape, "");
    cpu::require_like("summary.to_earlier", out.to_earlier, shape, "");
    require_shape<2>("attention", "summary.log_decay", out.log_decay.shape(), {dims.B, dims.H});
  }

  template <class Tiles>
  static std::size_t summary_lane(const AttentionDims& dims) {
    Arena counting;
    if constexpr (std::constructible_from<Tiles, Arena&, Index, Index>) {
      Tiles(counting, dims.D, dims.E);
    } else {
      Tiles(counting, dims.L, dims.D, dims.E);
    }
    return aligned(counting.used());
  }
  template <class Tiles>
  static std::size_t summary_scratch(const AttentionDims& dims, const Executor& executor) {
    return static_cast<std::size_t>(executor.lanes(dims.B * dims.H)) * summary_lane<Tiles>(dims) + kAlignment;
  }

  /// f(arena, b, h) for every head, each lane with its own scratch.
  template <class Tiles, class Body>
  static void for_each_head(const AttentionDims& dims, Workspace& workspace, const Executor& executor, Body&& body) {
    const std::size_t lane_size = summary_lane<Tiles>(dims);
    const Index tasks = dims.B * dims.H;
    workspace.reserve(summary_scratch<Tiles>(dims, executor));
    std::byte* scratch = workspace.arena().template take<std::byte>(0);
    executor.for_each_task(tasks, [&](Index task, Index lane) {
      const cpu::FlushSubnormals flush;
      Arena arena(scratch + static_cast<std::size_t>(lane) * lane_size);
      body(arena, task / dims.H, task % dims.H);
    });
  }

  template <class T>
  void check_masks(const AttentionInputs<T>& in, std::span<const OrderedMask<M, T>> masks, const AttentionDims& dims,
                   Arena arena) const {
    if (masks.empty()) cpu::fail("masks is empty, expected at least one");
    auto* seen = arena.take<unsigned char>(static_cast<Index>(cpu::order_scratch(dims.L)));
    for (const OrderedMask<M, T>& ordered : masks) {
      ordered.mask.check(dims);
      cpu::check_order(in, ordered.order, dims.L, seen);
    }
  }

  template <class T>
  void run_forward(const AttentionInputs<T>& in, std::span<const OrderedMask<M, T>> masks,
                   const AttentionOutputs<T>& out, const Incoming<accumulator_t<T>>& incoming,
                   const View<accumulator_t<T>, 4>& outgoing, Workspace& workspace, const Executor& executor) const {
    const AttentionDims dims = cpu::checked_dims(in);
    cpu::require_like("y", out.y, {dims.B, dims.H, dims.L, dims.E}, " to match v");
    if (out.row_sum) {
      require_shape<3>("attention", "row_sum", out.row_sum.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
    cpu::check_incoming(incoming, dims, "incoming.from_earlier", "incoming.from_later");
    const cpu::ForwardCall<Types<T>> call(in, dims, options(in, dims), masks.size(), incoming.any(), executor);
    workspace.reserve(whole(call.scratch(), dims));
    check_masks(in, masks, dims, workspace.arena());
    call.run(masks, out, incoming, outgoing, workspace.arena().template take<std::byte>(0));
  }

  template <class T>
  void run_backward(const AttentionInputs<T>& in, std::span<const OrderedMask<M, T>> masks,
                    const AttentionUpstream<T>& upstream, const AttentionGradients<T>& gradients,
                    std::span<const MaskGradients<M, T>> mask_gradients,
                    const IncomingBackward<accumulator_t<T>>& incoming, Workspace& workspace,
                    const Executor& executor) const {
    const AttentionDims dims = cpu::checked_dims(in);
    const bool again = door::check_upstream<N::divides>(upstream, dims);
    door::check_gradients<M>(in, gradients, masks.size(), mask_gradients, dims);
    cpu::check_incoming(incoming.keys, dims, "incoming.keys.from_earlier", "incoming.keys.from_later");
    cpu::check_incoming(incoming.queries, dims, "incoming.queries.from_earlier", "incoming.queries.from_later");
    const cpu::BackwardCall<Types<T>> call(in, dims, options(in, dims), masks.size(), again, executor);
    workspace.reserve(whole(call.scratch(), dims));
    check_masks(in, masks, dims, workspace.arena());
    call.run(masks, upstream, gradients, mask_gradients, incoming, workspace.arena().template take<std::byte>(0));
  }
};

}  // namespace lion
