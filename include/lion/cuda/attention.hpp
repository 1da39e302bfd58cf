#pragma once
/// lion::Attention on the GPU. Compiles under nvcc only.

#include "lion/cuda/combine.hpp"
#include "lion/cuda/launch.hpp"
#include "lion/cuda/operator.hpp"

namespace lion {

/// The operator as CUDA kernels: every mask, form, normaliser and direction, forward and backward. T is float or
/// double, or bfloat16 or half on tensor cores with float sums; widths of up to 128, of which 32, 64 and 128 fill the
/// kernels. A chunk is rounded up to whole tiles of 64 tokens (32 of double).
///
/// Every address is of memory that the device reads: tensors, key_mask, the mask's parameters, cu_seqlens and orders.
/// Their values are not checked. Scratch is the workspace's, which must be borrowed memory of the device. Nothing is
/// allocated and nothing waited for: the kernels are on the stream when `forward` returns, and after a first call it
/// may be captured in a graph (cuda/launch.hpp), which tensors and scratch must outlive. It runs on the caller's
/// current device.
///
/// In half, scores s·q·k and gated keys γ·k must stay within its range, 65504: they are rounded to T on their way into
/// the tensor cores; in backward so must dy·v and dy·y, and a row whose sum is below ε counts at most 256 times as much
/// as any other. The states at the edges of chunks are kept in T beside a power of two; sums are float32.
///
/// Shown right on an emulated device (tests/simt) and on an H200 (tests/cuda).
///
/// Throws ArgumentError, before anything is started, for shapes and strides that do not fit; cuda::CudaError where a
/// kernel does not start.
template <mask::Mask M, detail::Form F, detail::Normaliser N, detail::Direction Dir>
struct Attention<M, F, backend::Cuda, N, Dir> {
  F form{};
  N normaliser{};
  std::optional<double> scale{};  ///< s; default D^-1/2

  /// Bytes of scratch that `forward` takes for inputs of these shapes and this many orders.
  template <class T>
  std::size_t workspace_size(const AttentionInputs<T>& in, std::size_t orders = 1) const {
    return kernels().workspace_size(in, orders);
  }

  /// Bytes of scratch that `backward` takes; `kept`: y and row_sum are given to it.
  template <class T>
  std::size_t backward_workspace_size(const AttentionInputs<T>& in, std::size_t orders = 1, bool kept = false) const {
    return kernels().backward_workspace_size(in, orders, kept);
  }

  /// y [B,H,L,E], and δ [B,H,L] if wanted, under the mean of the masks along their orders.
  template <class T>
  void forward(const AttentionInputs<T>& in, std::span<const std::type_identity_t<OrderedMask<M, T>>> masks,
               const std::type_identity_t<AttentionOutputs<T>>& out, Workspace& workspace,
               const cuda::Stream& stream = {}) const {
    kernels().forward(stream, in, masks, out, workspace);
  }

  /// The same under one mask, the tokens as they lie.
  template <class T>
  void forward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
               const std::type_identity_t<AttentionOutputs<T>>& out, Workspace& workspace,
               const cuda::Stream& stream = {}) const {
    const OrderedMask<M, T> single{mask};
    forward(in, {&single, 1}, out, workspace, stream);
  }

  /// dq, dk [B,Hk,L,D], dv [B,H,L,E] and the gradients of each mask (math.md §4); all are overwritten. Every form by
  /// way of chunks: the recurrent one in chunks of a tile.
  template <class T>
  void backward(const AttentionInputs<T>& in, std::span<const std::type_identity_t<OrderedMask<M, T>>> masks,
                const std::type_identity_t<AttentionUpstream<T>>& upstream,
                const std::type_identity_t<AttentionGradients<T>>& gradients,
                std::span<const std::type_identity_t<MaskGradients<M, T>>> mask_gradients, Workspace& workspace,
                const cuda::Stream& stream = {}) const {
    kernels().backward(stream, in, masks, upstream, gradients, mask_gradients, workspace);
  }

  template <class T>
  void backward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                const std::type_identity_t<AttentionUpstream<T>>& upstream,
                const std::type_identity_t<AttentionGradients<T>>& gradients,
                const std::type_identity_t<MaskGradients<M, T>>& mask_gradients, Workspace& workspace,
                const cuda::Stream& stream = {}) const {
    const OrderedMask<M, T> single{mask};
    backward(in, {&single, 1}, upstream, gradients, {&mask_gradients, 1}, workspace, stream);
  }

  // ------------------------------------------------------------------------------------------------ in pieces
  // As on the CPU (lion/cpu/attention.hpp): `in` is a segment of a longer sequence, one order, no cu_seqlens. Summaries
  // are combined by cuda::combine(stream, x, y, out).

  /// Bytes of scratch that `forward_segment` and `step` take, each alone; `summarise` takes none.
  template <class T>
  std::size_t segment_workspace_size(const AttentionInputs<T>& in) const {
    return kernels().segment_workspace_size(in);
  }

  /// Bytes of scratch that `summarise_backward` and `backward_segment` take; `kept`: y and row_sum are given to it.
  template <class T>
  std::size_t segment_backward_workspace_size(const AttentionInputs<T>& in, bool kept = false) const {
    return kernels().segment_backward_workspace_size(in, kept);
  }

  /// What the segment hands to the rest of the sequence: U, W and Λ (math.md §3).
  template <class T>
  void summarise(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                 const SegmentSummary<accumulator_t<T>>& out, const cuda::Stream& stream = {}) const {
    kernels().summarise(stream, in, {mask}, out);
  }

  /// The segment's y, given what comes into it.
  template <class T>
  void forward_segment(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                       const Incoming<accumulator_t<T>>& incoming, const std::type_identity_t<AttentionOutputs<T>>& out,
                       Workspace& workspace, const cuda::Stream& stream = {}) const {
    kernels().forward_segment(stream, in, {mask}, incoming, out, workspace);
  }

  /// What the segment's queries and upstream gradients hand to the rest of the sequence: T, R and Λ (math.md §4). With
  /// row sums, upstream.y and upstream.row_sum are needed.
  template <class T>
  void summarise_backward(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                          const std::type_identity_t<AttentionUpstream<T>>& upstream,
                          const SegmentSummary<accumulator_t<T>>& out, Workspace& workspace,
                          const cuda::Stream& stream = {}) const {
    kernels().summarise_backward(stream, in, {mask}, upstream, out, workspace);
  }

  /// The segment's gradients, given what comes into it in both passes.
  template <class T>
  void backward_segment(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
                        const IncomingBackward<accumulator_t<T>>& incoming,
                        const std::type_identity_t<AttentionUpstream<T>>& upstream,
                        const std::type_identity_t<AttentionGradients<T>>& gradients,
                        const std::type_identity_t<MaskGradients<M, T>>& mask_gradients, Workspace& workspace,
                        const cuda::Stream& stream = {}) const {
    kernels().backward_segment(stream, in, {mask}, incoming, upstream, gradients, mask_gradients, workspace);
  }

  /// Streaming, for direction::Forward: the next tokens of sequences whose past is `state` [B,H,D,E+1], zero at the
  /// start. Writes their y and moves the state behind them.
  template <class T>
  void step(const AttentionInputs<T>& in, const std::type_identity_t<MaskParameters<M, T>>& mask,
            const View<accumulator_t<T>, 4>& state, const std::type_identity_t<AttentionOutputs<T>>& out,
            Workspace& workspace, const cuda::Stream& stream = {}) const {
    kernels().step(stream, in, {mask}, state, out, workspace);
  }

 private:
  cuda::Operator<M, F, N, Dir> kernels() const { return {form, normaliser, scale}; }
};

}  // namespace lion
