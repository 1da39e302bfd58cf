#pragma once
/// The loss of a classifier.

#include "lion/train/softmax_loss.hpp"

namespace lion::train {

/// Mean over the batch of the cross-entropy between softmax(logits) and the labels, smoothed: the target of row b is
/// (1 − s)·onehot(label_b) + s/K (Szegedy et al., arXiv 1512.00567; the meaning of PyTorch's `label_smoothing`).
///
/// logits [B,K], K ≥ 1; labels [B], each in [0, K); dlogits [B,K] is the gradient of the mean, written if present;
/// label_smoothing s in [0, 1]. The sum is divided by `rows`, which is B where it is 0: losses and gradients of
/// micro-batches add up to those of their step when each is given the labelled rows of the whole step (gradient
/// accumulation; a micro-batch may then have none). Computed in double. Throws ArgumentError before anything is
/// written.
template <Real S>
double cross_entropy(View<const S, 2> logits, std::span<const Index> labels, View<S, 2> dlogits = {},
                     double label_smoothing = 0, Executor executor = {}, Index rows = 0) {
  const double count = detail::check_rows("cross_entropy", logits.shape(), rows);
  detail::check_labels("cross_entropy", "labels", labels, logits.shape());
  if (dlogits) require_shape<2>("cross_entropy", "dlogits", dlogits.shape(), logits.shape(), " to match logits");
  detail::check_fraction("cross_entropy", "label_smoothing", label_smoothing);
  return detail::weighted_cross_entropy(logits, detail::SmoothedLabels(labels, label_smoothing, logits.extent(1)),
                                        1 / count, dlogits, executor);
}

}  // namespace lion::train
