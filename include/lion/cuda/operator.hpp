#pragma once
/// The operator in kernels, for whatever launches them: a stream (cuda/attention.hpp), or an emulation on the CPU.

#include <cmath>
#include <optional>
#include <string>

#include "lion/cuda/backward_call.hpp"
#include "lion/cuda/cost.hpp"
#include "lion/door.hpp"

namespace lion::cuda {

/// What lion::Attention does with backend::Cuda. Every address in the arguments is of memory that the kernels read and
/// the host may not: views, cu_seqlens and orders are taken as they are, their values unchecked.
template <mask::Mask M, lion::detail::Form F, lion::detail::Normaliser N, lion::detail::Direction Dir>
struct Operator {
  static_assert(
      requires(const typename M::template Parameters<float>& p, const AttentionDims& dims) { p.check_shapes(dims); } &&
          std::is_trivially_copyable_v<typename M::template Parameters<float>>,
      "lion::Attention: with backend::Cuda the mask's Parameters must have check_shapes(dims) and be trivially "
      "copyable");

  F form{};
  N normaliser{};
  std::optional<double> scale{};

  template <class T>
  std::size_t workspace_size(const AttentionInputs<T>& in, std::size_t orders) const {
    const Call<T, M> call = checked_call(in, orders, false);
    return whole(Forward<T>(call).scratch());
  }

  template <class T>
  std::size_t backward_workspace_size(const AttentionInputs<T>& in, std::size_t orders, bool kept) const {
    const Call<T, M> call = checked_call(in, orders, false);
    return whole(Backward<T>(call, !kept).scratch());
  }

  template <class T, class Launcher>
  void forward(const Launcher& launcher, const AttentionInputs<T>& in, std::span<const OrderedMask<M, T>> masks,
               const AttentionOutputs<T>& out, Workspace& workspace) const {
    run_forward(launcher, checked_call(in, masks.size(), false), masks, {}, out, workspace);
  }

  template <class T, class Launcher>
  void backward(const Launcher& launcher, const AttentionInputs<T>& in, std::span<const OrderedMask<M, T>> masks,
                const AttentionUpstream<T>& upstream, const AttentionGradients<T>& gradients,
                std::span<const MaskGradients<M, T>> mask_gradients, Workspace& workspace) const {
    run_backward(launcher, checked_call(in, masks.size(), false), masks, {}, upstream, gradients, mask_gradients,
                 workspace);
  }

  // ------------------------------------------------------------------------------------------------ in pieces

  template <class T>
  std::size_t segment_workspace_size(const AttentionInputs<T>& in) const {
    const Call<T, M> call = checked_call(in, 1, true);
    return whole(Forward<T>(call).scratch());
  }

  template <class T>
  std::size_t segment_backward_workspace_size(const AttentionInputs<T>& in, bool kept) const {
    const Call<T, M> call = checked_call(in, 1, true);
    return whole(Backward<T>(call, !kept).scratch());
  }

  template <class T, class Launcher>
  void summarise(const Launcher& launcher, const AttentionInputs<T>& in, const OrderedMask<M, T>& ordered,
                 const SegmentSummary<accumulator_t<T>>& out) const {
    const Call<T, M> call = segment_call(in);
    check_summary(out, call.dims);
    check_masks<T>({&ordered, 1}, call.dims);
    Forward<T>(call).summarise(launcher, ordered, out);
  }

  template <class T, class Launcher>
  void forward_segment(const Launcher& launcher, const AttentionInputs<T>& in, const OrderedMask<M, T>& ordered,
                       const Incoming<accumulator_t<T>>& incoming, const AttentionOutputs<T>& out,
                       Workspace& workspace) const {
    const Call<T, M> call = segment_call(in);
    door::check_incoming(incoming, call.dims, "incoming.from_earlier", "incoming.from_later");
    run_forward(launcher, call, {&ordered, 1}, {incoming.from_earlier, incoming.from_later}, out, workspace);
  }

  template <class T, class Launcher>
  void step(const Launcher& launcher, const AttentionInputs<T>& in, const OrderedMask<M, T>& ordered,
            const View<accumulator_t<T>, 4>& state, const AttentionOutputs<T>& out, Workspace& workspace) const {
    static_assert(!Dir::future, "lion::Attention::step: the direction must be direction::Forward");
    const Call<T, M> call = segment_call(in);
    const AttentionDims& d = call.dims;
    door::require_like<accumulator_t<T>>("state", state, {d.B, d.H, d.D, d.E + 1}, "");
    run_forward(launcher, call, {&ordered, 1}, {state, {}, state}, out, workspace);
  }

  template <class T, class Launcher>
  void summarise_backward(const Launcher& launcher, const AttentionInputs<T>& in, const OrderedMask<M, T>& ordered,
                          const AttentionUpstream<T>& upstream, const SegmentSummary<accumulator_t<T>>& out,
                          Workspace& workspace) const {
    const Call<T, M> call = segment_call(in);
    if (door::check_upstream<N::divides>(upstream, call.dims)) {
      door::fail("y and row_sum are absent, expected both for a segment's summary");
    }
    check_summary(out, call.dims);
    check_masks<T>({&ordered, 1}, call.dims);
    const Backward<T> backward(call, false);
    backward.summarise(launcher, ordered, upstream, out, scratch(workspace, backward.scratch()));
  }

  template <class T, class Launcher>
  void backward_segment(const Launcher& launcher, const AttentionInputs<T>& in, const OrderedMask<M, T>& ordered,
                        const IncomingBackward<accumulator_t<T>>& incoming, const AttentionUpstream<T>& upstream,
                        const AttentionGradients<T>& gradients, const MaskGradients<M, T>& mask_gradients,
                        Workspace& workspace) const {
    const Call<T, M> call = segment_call(in);
    door::check_incoming(incoming.keys, call.dims, "incoming.keys.from_earlier", "incoming.keys.from_later");
    door::check_incoming(incoming.queries, call.dims, "incoming.queries.from_earlier", "incoming.queries.from_later");
    run_backward(launcher, call, {&ordered, 1}, incoming, upstream, gradients, {&mask_gradients, 1}, workspace);
  }

 private:
  template <class T>
  using Forward = ForwardCall<T, M, N, Dir, std::same_as<F, form::Rnn>>;
  template <class T>
  using Backward = BackwardCall<T, M, N, Dir>;

  /// Room to begin at a multiple of kAlignment.
  static std::size_t whole(std::size_t scratch) { return scratch > 0 ? scratch + kAlignment : 0; }

  static std::byte* scratch(Workspace& workspace, std::size_t size) {
    if (!workspace.borrowed()) door::fail("workspace has memory of its own, expected one over the device's memory");
    workspace.reserve(whole(size));
    if (size == 0) return nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
    return workspace.data() + (kAlignment - address % kAlignment) % kAlignment;
  }

  template <class T>
  Call<T, M> checked_call(const AttentionInputs<T>& in, std::size_t orders, bool segment) const {
    const AttentionDims dims = checked_dims(in);
    return {in, dims, options(in, dims), orders, segment};
  }

  template <class T>
  Call<T, M> segment_call(const AttentionInputs<T>& in) const {
    const Call<T, M> call = checked_call(in, 1, true);
    if (!in.cu_seqlens.empty()) door::fail("cu_seqlens is given, expected none for a segment");
    return call;
  }

  template <class T, class Launcher>
  static void run_forward(const Launcher& launcher, const Call<T, M>& call, std::span<const OrderedMask<M, T>> masks,
                          const SegmentEdges<accumulator_t<T>>& edges, const AttentionOutputs<T>& out,
                          Workspace& workspace) {
    const AttentionDims& dims = call.dims;
    door::require_like("y", out.y, {dims.B, dims.H, dims.L, dims.E}, " to match v");
    if (out.row_sum) {
      require_shape<3>("attention", "row_sum", out.row_sum.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
    check_masks<T>(masks, dims);
    const Forward<T> forward(call);
    forward.run(launcher, masks, edges, out, scratch(workspace, forward.scratch()));
  }

  template <class T, class Launcher>
  static void run_backward(const Launcher& launcher, const Call<T, M>& call, std::span<const OrderedMask<M, T>> masks,
                           const IncomingBackward<accumulator_t<T>>& incoming, const AttentionUpstream<T>& upstream,
                           const AttentionGradients<T>& gradients, std::span<const MaskGradients<M, T>> mask_gradients,
                           Workspace& workspace) {
    static_assert(std::is_trivially_copyable_v<MaskGradients<M, T>>,
                  "lion::Attention: with backend::Cuda the mask's Gradients must be trivially copyable");
    const bool again = door::check_upstream<N::divides>(upstream, call.dims);
    door::check_gradients<M>(call.in, gradients, masks.size(), mask_gradients, call.dims);
    check_masks<T>(masks, call.dims);
    const Backward<T> backward(call, again);
    backward.run(launcher, masks, upstream, gradients, mask_gradients, incoming,
                 scratch(workspace, backward.scratch()));
  }

  template <class A>
  static void check_summary(const SegmentSummary<A>& out, const AttentionDims& dims) {
    const Shape<4> shape{dims.B, dims.H, dims.D, dims.E + 1};
    door::require_like("summary.to_later", out.to_later, shape, "");
    door::require_like("summary.to_earlier", out.to_earlier, shape, "");
    require_shape<2>("attention", "summary.log_decay", out.log_decay.shape(), {dims.B, dims.H});
  }

  template <class T>
  static void check_masks(std::span<const OrderedMask<M, T>> masks, const AttentionDims& dims) {
    if (masks.empty()) door::fail("masks is empty, expected at least one");
    for (const OrderedMask<M, T>& ordered : masks) {
      ordered.mask.check_shapes(dims);
      if (!ordered.order.empty() && static_cast<Index>(ordered.order.size()) != dims.L) {
        door::fail("order has " + std::to_string(ordered.order.size()) + " entries, expected " +
                   std::to_string(dims.L));
      }
    }
  }

  /// The lengths of packed sequences are the device's to know: they count as equal, and those that are longer are cut.
  template <class T>
  static CostShape cost_shape(const AttentionInputs<T>& in, const AttentionDims& dims) {
    const Index sequences = in.cu_seqlens.size() > 1 ? static_cast<Index>(in.cu_seqlens.size()) - 1 : 1;
    CostShape shape;
    shape.decay = M::decay;
    shape.both_directions = Dir::past && Dir::future;
    shape.heads = (std::max)(dims.B * dims.H * sequences, Index(1));
    shape.length = (dims.L + sequences - 1) / sequences;
    with_width(dims.D, dims.E, [&](auto width) { shape.width = width; });
    shape.tile = kTileRows<T>;
    shape.element = static_cast<Index>(sizeof(T));
    shape.tensor = kTensor<T>;
    return shape;
  }

  template <class T>
  CallOptions options(const AttentionInputs<T>& in, const AttentionDims& dims) const {
    CallOptions options;
    if constexpr (std::same_as<F, form::Chunk>) {
      if (form.size < 1) door::fail("form::Chunk has size " + std::to_string(form.size) + ", expected at least 1");
    }
    if constexpr (std::same_as<F, form::Auto>) {
      options.plan = cheapest(cost_shape(in, dims));
    } else {
      options.plan = form::plan(form, M::decay, Dir::past && Dir::future, dims.L, dims.D, dims.E);
    }
    options.scale = scale ? *scale : 1.0 / std::sqrt(static_cast<double>(dims.D));
    door::require_finite("scale", options.scale);
    if constexpr (N::divides) options.epsilon = normaliser.epsilon;
    door::require_finite("epsilon", options.epsilon);
    return options;
  }
};

}  // namespace lion::cuda
