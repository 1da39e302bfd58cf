#pragma once
/// The operator in kernels, for whatever launches them: a stream (cuda/attention.hpp), or an emulation on the CPU.

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "lion/cuda/forward_call.hpp"
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
    const AttentionDims dims = checked_dims(in);
    return Call<T>(in, dims, options(in, dims), orders).scratch();
  }

  template <class T, class Launcher>
  void forward(const Launcher& launcher, const AttentionInputs<T>& in, std::span<const OrderedMask<M, T>> masks,
               const AttentionOutputs<T>& out, Workspace& workspace) const {
    const AttentionDims dims = checked_dims(in);
    door::require_like("y", out.y, {dims.B, dims.H, dims.L, dims.E}, " to match v");
    if (out.row_sum) {
      require_shape<3>("attention", "row_sum", out.row_sum.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
    if (masks.empty()) door::fail("masks is empty, expected at least one");
    for (const OrderedMask<M, T>& ordered : masks) {
      ordered.mask.check_shapes(dims);
      if (!ordered.order.empty() && static_cast<Index>(ordered.order.size()) != dims.L) {
        door::fail("order has " + std::to_string(ordered.order.size()) + " entries, expected " +
                   std::to_string(dims.L));
      }
    }
    const Call<T> call(in, dims, options(in, dims), masks.size());
    if (!workspace.borrowed()) door::fail("workspace has memory of its own, expected one over the device's memory");
    workspace.reserve(call.scratch());
    call.run(launcher, masks, out, workspace.data());
  }

 private:
  template <class T>
  using Call = ForwardCall<T, M, N, Dir, std::same_as<F, form::Rnn>>;

  template <class T>
  static AttentionDims checked_dims(const AttentionInputs<T>& in) {
    const AttentionDims dims = door::checked_shapes(in);
    for (const auto& [name, width] : {std::pair("q", dims.D), std::pair("v", dims.E)}) {
      if (width > kWidest) {
        door::fail(std::string(name) + " has width " + std::to_string(width) + ", expected at most " +
                   std::to_string(kWidest) + " with backend::Cuda");
      }
    }
    if (in.cu_seqlens.size() == 1 && dims.L > 0) {
      door::fail("cu_seqlens has 1 entry, expected at least 2 for " + std::to_string(dims.L) + " tokens");
    }
    constexpr Index kMostBlocks = 65535;  // in the second and third dimension of a grid
    if (dims.H > kMostBlocks || 2 * dims.B > kMostBlocks) {
      door::fail("v has shape " + to_string(in.v.shape()) + ", expected at most 65535 heads and 32767 batch entries");
    }
    return dims;
  }

  template <class T>
  CallOptions options(const AttentionInputs<T>&, const AttentionDims& dims) const {
    CallOptions options;
    if constexpr (std::same_as<F, form::Chunk>) {
      if (form.size < 1) door::fail("form::Chunk has size " + std::to_string(form.size) + ", expected at least 1");
    }
    options.plan = form::plan(form, M::decay, Dir::past && Dir::future, dims.L, dims.D, dims.E);
    options.scale = scale ? *scale : 1.0 / std::sqrt(static_cast<double>(dims.D));
    door::require_finite("scale", options.scale);
    if constexpr (N::divides) options.epsilon = normaliser.epsilon;
    door::require_finite("epsilon", options.epsilon);
    return options;
  }
};

}  // namespace lion::cuda
