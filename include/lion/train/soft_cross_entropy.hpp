#pragma once
/// The loss of a classifier whose targets are shares of the classes.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "lion/core/view.hpp"

namespace lion::train {

namespace detail {

/// Of one row of logits x at temperature τ: log softmax_k(x/τ) = x_k/τ − peak − log_sum.
struct LogSoftmax {
  double temperature, peak, log_sum;

  template <Real S>
  LogSoftmax(const View<const S, 2>& logits, Index b, double temperature_ = 1)
      : temperature(temperature_), peak(static_cast<double>(logits(b, 0)) / temperature) {
    for (Index k = 1; k < logits.extent(1); ++k) {
      peak = (std::max)(peak, static_cast<double>(logits(b, k)) / temperature);
    }
    double sum = 0;
    for (Index k = 0; k < logits.extent(1); ++k) {
      sum += std::exp(static_cast<double>(logits(b, k)) / temperature - peak);
    }
    log_sum = std::log(sum);
  }

  template <Real S>
  double operator()(S x) const {
    return static_cast<double>(x) / temperature - peak - log_sum;
  }
};

template <Real S>
void check_loss(const char* loss, const View<const S, 2>& logits, const View<S, 2>& dlogits) {
  if (logits.extent(0) < 1 || logits.extent(1) < 1) {
    throw ArgumentError(std::string(loss) + ": logits has shape " + to_string(logits.shape()) +
                        ", expected at least one row and one class");
  }
  if (dlogits) require_shape<2>(loss, "dlogits", dlogits.shape(), logits.shape(), " to match logits");
}

inline void check_labels(const char* loss, const char* name, std::span<const Index> labels, const Shape<2>& logits) {
  require_shape<1>(loss, name, {static_cast<Index>(labels.size())}, {logits[0]}, " to match logits");
  for (std::size_t b = 0; b < labels.size(); ++b) {
    if (labels[b] >= 0 && labels[b] < logits[1]) continue;
    throw ArgumentError(std::string(loss) + ": " + name + "[" + std::to_string(b) + "] is " +
                        std::to_string(labels[b]) + ", expected a value in [0, " + std::to_string(logits[1]) + ")");
  }
}

inline void check_fraction(const char* loss, const char* name, double value) {
  if (value >= 0 && value <= 1) return;
  throw ArgumentError(std::string(loss) + ": " + name + " is " + std::to_string(value) +
                      ", expected a value in [0, 1]");
}

/// weight · the mean over the rows of −Σ_k target(b,k) log softmax_k; dlogits, if present, becomes its
/// gradient or, if `add`, grows by it.
template <Real S, class Target>
double weighted_cross_entropy(const View<const S, 2>& logits, const Target& target, double weight,
                              const View<S, 2>& dlogits, bool add = false) {
  const Index B = logits.extent(0), K = logits.extent(1);
  const double scale = weight / static_cast<double>(B);
  double loss = 0;
  for (Index b = 0; b < B; ++b) {
    const LogSoftmax log_softmax(logits, b);
    double mass = 0;
    for (Index k = 0; k < K; ++k) {
      const double t = target(b, k);
      mass += t;
      if (t != 0) loss -= t * log_softmax(logits(b, k));  // a class ruled out has −∞
    }
    if (!dlogits) continue;
    for (Index k = 0; k < K; ++k) {
      const double gradient = scale * (mass * std::exp(log_softmax(logits(b, k))) - target(b, k));
      dlogits(b, k) = static_cast<S>(gradient + (add ? static_cast<double>(dlogits(b, k)) : 0));
    }
  }
  return scale * loss;
}

/// (1 − s)·onehot(label) + s/K.
struct SmoothedLabels {
  std::span<const Index> labels;
  double on, off;

  SmoothedLabels(std::span<const Index> labels_, double smoothing, Index classes)
      : labels(labels_), on(1 - smoothing), off(smoothing / static_cast<double>(classes)) {}
  double operator()(Index b, Index k) const { return (k == labels[static_cast<std::size_t>(b)] ? on : 0) + off; }
};

template <Real S>
struct SoftTargets {
  View<const S, 2> targets;
  double operator()(Index b, Index k) const { return static_cast<double>(targets(b, k)); }
};

template <Real S>
void check_targets(const char* loss, const View<const S, 2>& targets, const Shape<2>& logits) {
  require_shape<2>(loss, "targets", targets.shape(), logits, " to match logits");
  for (Index b = 0; b < logits[0]; ++b) {
    for (Index k = 0; k < logits[1]; ++k) {
      const double t = static_cast<double>(targets(b, k));
      if (t >= 0 && std::isfinite(t)) continue;
      throw ArgumentError(std::string(loss) + ": targets[" + std::to_string(b) + "," + std::to_string(k) + "] is " +
                          std::to_string(t) + ", expected a finite value of at least 0");
    }
  }
}

}  // namespace detail

/// Mean over the batch of the cross-entropy −Σ_k t_k log softmax_k(logits) against targets [B,K], shares of the classes
/// as mixup and cutmix make them: the meaning of PyTorch's cross_entropy with probabilities.
///
/// logits [B,K], B ≥ 1; rows of targets should sum to 1, entries are finite and at least 0; dlogits [B,K] is the
/// gradient of the mean, written if present. Computed in double. Throws ArgumentError before anything is written.
template <Real S>
double soft_cross_entropy(View<const S, 2> logits, View<const S, 2> targets, View<S, 2> dlogits = {}) {
  detail::check_loss("soft_cross_entropy", logits, dlogits);
  detail::check_targets("soft_cross_entropy", targets, logits.shape());
  return detail::weighted_cross_entropy(logits, detail::SoftTargets<S>{targets}, 1, dlogits);
}

}  // namespace lion::train
