#pragma once
/// lion::Attention on the GPU. Compiles under nvcc only.

#include "lion/cuda/launch.hpp"
#include "lion/cuda/operator.hpp"

namespace lion {

/// The operator as CUDA kernels: every mask, form, normaliser and direction, forward. T is float or double, or bfloat16
/// or half on tensor cores with float sums; widths of up to 128, of which 32, 64 and 128 fill the kernels. A chunk is
/// rounded up to whole tiles of 64 tokens (32 of double).
///
/// Every address is of memory that the device reads: tensors, key_mask, the mask's parameters, cu_seqlens and orders.
/// Their values are not checked. Scratch is the workspace's, which must be borrowed memory of the device. Nothing is
/// allocated and nothing waited for: the kernels are on the stream when `forward` returns, and it may be captured in a
/// graph. It runs on the caller's current device.
///
/// In half, scores s·q·k and gated keys γ·k must stay within its range, 65504: they are rounded to T on their way into
/// the tensor cores. So are the states at the edges of chunks, kept in T beside a power of two; sums are float32.
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

 private:
  cuda::Operator<M, F, N, Dir> kernels() const { return {form, normaliser, scale}; }
};

}  // namespace lion
