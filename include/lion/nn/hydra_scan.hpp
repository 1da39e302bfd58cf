#pragma once
/// One scan of Hydra's mixer as lion::Attention in one direction (math.md §9).

#include "lion/cpu/attention.hpp"
#include "lion/mask/gated_selective.hpp"
#include "lion/nn/lion_attention.hpp"
#ifdef LION_EXTERN_KERNELS
#include "lion/nn/scan_kernels.hpp"
#endif

namespace lion::nn {

/// y_t = C_tᵀ S_t over x, B, C of `mixed` [B·L, I+4N], whose columns are x [I], then B and C [N] of each scan. Gates
/// are columns of `steps` [B·L,2H]; log decays are the scan's own [B·L,H] of [2,B·L,H].
template <Real S, class Direction>
struct HydraScan {
  form::Any form;
  Index inner, heads, state, scan;  ///< I, H, N; scan 0 or 1 of the two

  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    const AttentionInputs<S> in = inputs<const S>(nullptr, batch);
    return std::visit([&](auto f) { return op(f).workspace_size(in, executor); }, form);
  }

  /// y [B·L,I].
  void forward(const View<const S, 2>& mixed, const View<const S, 2>& steps, const S* log_lambda, const View<S, 2>& y,
               const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    const AttentionInputs<S> in = inputs(mixed.data(), batch);
    const MaskParameters<mask::GatedSelective, S> mask{per_head(log_lambda, batch), gates(steps.data(), batch)};
    const AttentionOutputs<S> out{head_view(y.data(), batch, heads, inner, inner, 0)};
    std::visit([&](auto f) { op(f).forward(in, mask, out, workspace, executor); }, form);
  }

  /// Overwrites the columns of B and C in dmixed, dx (rows `dx_stride` apart), and the scan's own of dlog_lambda
  /// [2,B·L,H] and dgates [B·L,2H].
  void backward(const View<const S, 2>& mixed, const View<const S, 2>& steps, const S* log_lambda,
                const View<const S, 2>& dy, const View<S, 2>& dmixed, S* dx, Index dx_stride, S* dlog_lambda, S* dgates,
                const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    const AttentionInputs<S> in = inputs(mixed.data(), batch);
    const MaskParameters<mask::GatedSelective, S> mask{per_head(log_lambda, batch), gates(steps.data(), batch)};
    const MaskGradients<mask::GatedSelective, S> of_mask{per_head(dlog_lambda, batch), gates(dgates, batch)};
    const AttentionUpstream<S> upstream{head_view(dy.data(), batch, heads, inner, inner, 0)};
    const AttentionGradients<S> gradients{query(dmixed.data(), batch), key(dmixed.data(), batch),
                                          head_view(dx, batch, heads, inner, dx_stride, 0)};
    std::visit([&](auto f) { op(f).backward(in, mask, upstream, gradients, of_mask, workspace, executor); }, form);
  }

 private:
  template <class Form>
  static auto op(Form form) {
    return Attention<mask::GatedSelective, Form, backend::Cpu, normalise::None, Direction>{form, {}, 1.0};
  }

  template <class T>
  View<T, 4> key(T* mixed, const TokenBatch& batch) const {
    return head_view(mixed, batch, 1, state, inner + 4 * state, inner + 2 * scan * state);
  }
  template <class T>
  View<T, 4> query(T* mixed, const TokenBatch& batch) const {
    return head_view(mixed, batch, 1, state, inner + 4 * state, inner + (2 * scan + 1) * state);
  }

  template <class T>
  AttentionInputs<S> inputs(T* mixed, const TokenBatch& batch) const {
    AttentionInputs<S> in{query(mixed, batch), key(mixed, batch),
                          head_view(mixed, batch, heads, inner, inner + 4 * state, 0)};
    in.cu_seqlens = batch.cu_seqlens;
    return in;
  }

  template <class T>
  View<T, 3> per_head(T* all, const TokenBatch& batch) const {
    return View<T, 3>(all + scan * batch.tokens() * heads, {batch.samples, heads, batch.length},
                      {batch.length * heads, 1, heads});
  }
  template <class T>
  View<T, 3> gates(T* all, const TokenBatch& batch) const {
    return View<T, 3>(all + scan * heads, {batch.samples, heads, batch.length},
                      {batch.length * 2 * heads, 1, 2 * heads});
  }
};

}  // namespace lion::nn
