#pragma once
/// Runs the operator's kernels, emulated on the CPU or (cuda/launcher.hpp) on a GPU, on a Problem. Outputs and scratch
/// are poisoned with NaN first.

#include "cuda/launcher.hpp"
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

/// y and δ.
template <class T, class M, class F, class N, class Dir>
Answer run_emulated(const cuda::Operator<M, F, N, Dir>& op, const Problem& p, const EmulatedOptions& options = {}) {
  Setup<T, M> s(p, options.layout);
  const View<accumulator_t<T>, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
  PoisonedScratch scratch(op.template workspace_size<T>(s.in, s.masks.size()));
  Workspace workspace = scratch.workspace();
  op.template forward<T>(Launcher{options.seed, options.early_copies}, s.in, s.masks, {s.y.view(), row_sum}, workspace);
  Answer a;
  a.y = s.y.get();
  a.row_sum.assign(s.row_sum.begin(), s.row_sum.end());
  return a;
}

}  // namespace lion::test
