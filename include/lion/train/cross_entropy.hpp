#pragma once
/// The loss of a classifier.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "lion/core/view.hpp"

namespace lion::train {

/// Mean over the batch of the cross-entropy between softmax(logits) and the labels, smoothed: the target of row b is
/// (1 − s)·onehot(label_b) + s/K (Szegedy et al., arXiv 1512.00567; the meaning of PyTorch's `label_smoothing`).
///
/// logits [B,K], B ≥ 1; labels [B], each in [0, K); dlogits [B,K] is the gradient of the mean, written if present;
/// label_smoothing s in [0, 1]. Computed in double. Throws ArgumentError before anything is written.
template <Real S>
double cross_entropy(View<const S, 2> logits, std::span<const Index> labels, View<S, 2> dlogits = {},
                     double label_smoothing = 0) {
  const Index B = logits.extent(0), K = logits.extent(1);
  if (B < 1 || K < 1) {
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

  const double off = label_smoothing / static_cast<double>(K);
  const double on = 1 - label_smoothing;
  double loss = 0;
  for (Index b = 0; b < B; ++b) {
    const Index label = labels[static_cast<std::size_t>(b)];
    double peak = static_cast<double>(logits(b, 0));
    for (Index k = 1; k < K; ++k) peak = (std::max)(peak, static_cast<double>(logits(b, k)));
    double sum = 0, below_peak = 0;
    for (Index k = 0; k < K; ++k) {
      const double x = static_cast<double>(logits(b, k)) - peak;
      sum += std::exp(x);
      below_peak += x;
    }
    const double log_sum = std::log(sum);
    const double own = static_cast<double>(logits(b, label)) - peak;
    loss += on * (log_sum - own);
    if (off > 0) loss += off * (static_cast<double>(K) * log_sum - below_peak);
    if (!dlogits) continue;
    for (Index k = 0; k < K; ++k) {
      const double p = std::exp(static_cast<double>(logits(b, k)) - peak) / sum;
      const double target = (k == label ? on : 0) + off;
      dlogits(b, k) = static_cast<S>((p - target) / static_cast<double>(B));
    }
  }
  return loss / static_cast<double>(B);
}

}  // namespace lion::train
