#pragma once
/// The loss of a classifier.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "lion/core/executor.hpp"
#include "lion/core/view.hpp"

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
  const Index B = logits.extent(0), K = logits.extent(1);
  if (K < 1 || (B < 1 && rows == 0)) {
    throw ArgumentError("cross_entropy: logits has shape " + to_string(logits.shape()) +
                        ", expected at least one row and one class");
  }
  require_shape<1>("cross_entropy", "labels", {static_cast<Index>(labels.size())}, {B}, " to match logits");
  if (dlogits) require_shape<2>("cross_entropy", "dlogits", dlogits.shape(), {B, K}, " to match logits");
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    throw ArgumentError("cross_entropy: label_smoothing is " + std::to_string(label_smoothing) +
                        ", expected a value in [0, 1]");
  }
  for (Index b = 0; b < B; ++b) {
    const Index label = labels[static_cast<std::size_t>(b)];
    if (label < 0 || label >= K) {
      throw ArgumentError("cross_entropy: labels[" + std::to_string(b) + "] is " + std::to_string(label) +
                          ", expected a value in [0, " + std::to_string(K) + ")");
    }
  }
  if (rows != 0 && rows < B) {
    throw ArgumentError("cross_entropy: rows is " + std::to_string(rows) + ", expected 0 or at least the " +
                        std::to_string(B) + " rows of logits");
  }

  const double off = label_smoothing / static_cast<double>(K);
  const double on = 1 - label_smoothing;
  const auto count = static_cast<double>(rows == 0 ? B : rows);
  std::vector<double> losses(static_cast<std::size_t>(B));
  std::vector<double> powers(static_cast<std::size_t>(executor.lanes(B) * K));
  executor.for_each_task(B, [&](Index b, Index lane) {
    double* power = powers.data() + lane * K;  // [K], e^(logit - peak)
    const Index label = labels[static_cast<std::size_t>(b)];
    double peak = static_cast<double>(logits(b, 0));
    for (Index k = 1; k < K; ++k) peak = (std::max)(peak, static_cast<double>(logits(b, k)));
    double sum = 0, below_peak = 0;
    for (Index k = 0; k < K; ++k) {
      const double x = static_cast<double>(logits(b, k)) - peak;
      power[k] = std::exp(x);
      sum += power[k];
      below_peak += x;
    }
    const double log_sum = std::log(sum);
    const double own = static_cast<double>(logits(b, label)) - peak;
    double& loss = losses[static_cast<std::size_t>(b)];
    loss = on * (log_sum - own);
    if (off > 0) loss += off * (static_cast<double>(K) * log_sum - below_peak);
    if (!dlogits) return;
    for (Index k = 0; k < K; ++k) {
      const double target = (k == label ? on : 0) + off;
      dlogits(b, k) = static_cast<S>((power[k] / sum - target) / count);
    }
  });
  double loss = 0;
  for (const double of_row : losses) loss += of_row;
  return loss / count;
}

}  // namespace lion::train
