#pragma once
/// Runs the operator's kernels, emulated on the CPU or (cuda/launcher.hpp) on a GPU, on a Problem. Outputs and scratch
/// are poisoned with NaN first.

#include "cuda/launcher.hpp"
#include "lion/cuda/combine.hpp"
#include "lion/cuda/operator.hpp"
#include "support/attention_run.hpp"

namespace lion::test {

struct EmulatedOptions {
  Layout layout = Layout::dense;
  unsigned seed = 0;  ///< of the order of threads
  bool early_copies = false;
};

/// A form with its policies and the options of a problem.
template <class M, class N, class Dir, class F>
cuda::Operator<M, F, N, Dir> operator_for(const Problem& p, F form) {
  cuda::Operator<M, F, N, Dir> op;
  op.form = form;
  op.scale = p.scale;
  if constexpr (N::divides) op.normaliser.epsilon = p.epsilon;
  return op;
}

/// The kernels behind the calls of an attention on the CPU, for tests that serve both (attention/pieces.hpp).
template <class M, class F, class N, class Dir>
struct EmulatedAttention {
  cuda::Operator<M, F, N, Dir> op;
  Launcher launcher{};

  template <class T>
  std::size_t segment_workspace_size(const AttentionInputs<T>& in) const {
    return op.segment_workspace_size(in);
  }
  template <class T>
  std::size_t segment_backward_workspace_size(const AttentionInputs<T>& in, Executor, bool kept) const {
    return op.segment_backward_workspace_size(in, kept);
  }
  template <class T>
  void summarise(const AttentionInputs<T>& in, const MaskParameters<M, T>& mask,
                 const SegmentSummary<accumulator_t<T>>& out, Workspace&) const {
    op.summarise(launcher, in, {mask}, out);
  }
  template <class T>
  void forward_segment(const AttentionInputs<T>& in, const MaskParameters<M, T>& mask,
                       const Incoming<accumulator_t<T>>& incoming, const std::type_identity_t<AttentionOutputs<T>>& out,
                       Workspace& workspace) const {
    op.forward_segment(launcher, in, {mask}, incoming, out, workspace);
  }
  template <class T>
  void summarise_backward(const AttentionInputs<T>& in, const MaskParameters<M, T>& mask,
                          const AttentionUpstream<T>& upstream, const SegmentSummary<accumulator_t<T>>& out,
                          Workspace& workspace) const {
    op.summarise_backward(launcher, in, {mask}, upstream, out, workspace);
  }
  template <class T>
  void backward_segment(const AttentionInputs<T>& in, const MaskParameters<M, T>& mask,
                        const IncomingBackward<accumulator_t<T>>& incoming, const AttentionUpstream<T>& upstream,
                        const std::type_identity_t<AttentionGradients<T>>& gradients,
                        const MaskGradients<M, T>& mask_gradients, Workspace& workspace) const {
    op.backward_segment(launcher, in, {mask}, incoming, upstream, gradients, mask_gradients, workspace);
  }
};

/// y and δ.
template <class T, class M, class F, class N, class Dir>
void run_forward(const cuda::Operator<M, F, N, Dir>& op, Setup<T, M>& s, const EmulatedOptions& options, Answer& a) {
  const View<accumulator_t<T>, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
  PoisonedScratch scratch(op.template workspace_size<T>(s.in, s.masks.size()));
  Workspace workspace = scratch.workspace();
  op.template forward<T>(Launcher{options.seed, options.early_copies}, s.in, s.masks, {s.y.view(), row_sum}, workspace);
  a.y = s.y.get();
  a.row_sum.assign(s.row_sum.begin(), s.row_sum.end());
}

template <class T, class M, class F, class N, class Dir>
Answer run_emulated(const cuda::Operator<M, F, N, Dir>& op, const Problem& p, const EmulatedOptions& options = {}) {
  Setup<T, M> s(p, options.layout);
  Answer a;
  run_forward(op, s, options, a);
  return a;
}

/// The same and all gradients; `keep`: y and δ are given to backward.
template <class T, class M, class F, class N, class Dir>
Answer run_emulated_backward(const cuda::Operator<M, F, N, Dir>& op, const Problem& p, bool keep,
                             const EmulatedOptions& options = {}) {
  Setup<T, M> s(p, options.layout);
  Answer a;
  run_forward(op, s, options, a);
  PoisonedScratch scratch(op.template backward_workspace_size<T>(s.in, s.masks.size(), keep));
  Workspace workspace = scratch.workspace();
  AttentionUpstream<T> upstream{s.dy.view()};
  if (keep) upstream = {s.dy.view(), s.y.view(), {s.row_sum.data(), s.row_sum_shape}};
  op.template backward<T>(Launcher{options.seed, options.early_copies}, s.in, s.masks, upstream,
                          {s.dq.view(), s.dk.view(), s.dv.view()}, s.slopes, workspace);
  s.take_gradients(a);
  return a;
}

}  // namespace lion::test
