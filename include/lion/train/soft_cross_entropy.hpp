#pragma once
/// The loss of a classifier whose targets are shares of the classes.

#include "lion/train/softmax_loss.hpp"

namespace lion::train {

/// Mean over the batch of the cross-entropy −Σ_k t_k log softmax_k(logits) against targets [B,K], shares of the classes
/// as mixup and cutmix make them: the meaning of PyTorch's cross_entropy with probabilities.
///
/// logits [B,K], K ≥ 1; rows of targets should sum to 1, entries are finite and at least 0; dlogits [B,K] is the
/// gradient, written if present; `rows` as in cross_entropy. Computed in double. Throws ArgumentError before anything
/// is written.
template <Real S>
double soft_cross_entropy(View<const S, 2> logits, View<const S, 2> targets, View<S, 2> dlogits = {},
                          Executor executor = {}, Index rows = 0) {
  const double count = detail::check_rows("soft_cross_entropy", logits.shape(), rows);
  detail::check_targets("soft_cross_entropy", targets, logits.shape());
  if (dlogits) {
    require_shape<2>("soft_cross_entropy", "dlogits", dlogits.shape(), logits.shape(), " to match logits");
  }
  return detail::weighted_cross_entropy(logits, detail::SoftTargets<S>{targets}, 1 / count, dlogits, executor);
}

}  // namespace lion::train
