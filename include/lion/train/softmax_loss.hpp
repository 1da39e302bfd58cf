#pragma once
/// What the losses of a classifier share: a softmax by rows, the targets it is held against, and their checks.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "lion/core/config.hpp"
#include "lion/core/executor.hpp"
#include "lion/core/view.hpp"

namespace lion::train::detail {

/// One row of logits x at temperature τ, power_k = e^(x_k/τ − peak): softmax_k = power_k / sum.
struct SoftmaxRow {
  double temperature, peak, sum, log_sum;
  const double* power;  ///< [K]

  template <Real S>
  SoftmaxRow(const View<const S, 2>& logits, Index b, double temperature_, double* power_)
      : temperature(temperature_), peak(static_cast<double>(logits(b, 0)) / temperature), sum(0), power(power_) {
    const Index K = logits.extent(1);
    for (Index k = 1; k < K; ++k) peak = (std::max)(peak, static_cast<double>(logits(b, k)) / temperature);
    for (Index k = 0; k < K; ++k) {
      power_[k] = std::exp(static_cast<double>(logits(b, k)) / temperature - peak);
      sum += power_[k];
    }
    log_sum = std::log(sum);
  }

  template <Real S>
  double log_softmax(S x) const {
    return static_cast<double>(x) / temperature - peak - log_sum;
  }
};

/// Σ_b row(b, scratch) for rows whose scratch has `width` elements, added in their order whatever the executor.
template <class F>
double sum_over_rows(Index rows, Index width, const Executor& executor, F&& row) {
  std::vector<double> of_rows(static_cast<std::size_t>(rows));
  std::vector<double> scratch(static_cast<std::size_t>(executor.lanes(rows) * width));
  executor.for_each_task(
      rows, [&](Index b, Index lane) { of_rows[static_cast<std::size_t>(b)] = row(b, scratch.data() + lane * width); });
  double sum = 0;
  for (const double of_row : of_rows) sum += of_row;
  return sum;
}

/// weight · Σ_b −Σ_k target(b,k) log softmax_k; dlogits, if present, becomes its gradient or, if `add`, grows by it.
template <Real S, class Target>
double weighted_cross_entropy(const View<const S, 2>& logits, const Target& target, double weight,
                              const View<S, 2>& dlogits, const Executor& executor, bool add = false) {
  const Index K = logits.extent(1);
  const double sum = sum_over_rows(logits.extent(0), K, executor, [&](Index b, double* power) {
    const SoftmaxRow row(logits, b, 1, power);
    double loss = 0, mass = 0;
    for (Index k = 0; k < K; ++k) {
      const double t = target(b, k);
      if (t == 0) continue;  // a class ruled out has −∞
      mass += t;
      loss -= t * row.log_softmax(logits(b, k));
    }
    if (!dlogits) return loss;
    for (Index k = 0; k < K; ++k) {
      const double gradient = weight * (mass * (power[k] / row.sum) - target(b, k));
      dlogits(b, k) = static_cast<S>(gradient + (add ? static_cast<double>(dlogits(b, k)) : 0));
    }
    return loss;
  });
  return weight * sum;
}

/// (1 − s)·onehot(label) + s/K.
struct SmoothedLabels {
  std::span<const Index> labels;
  double on, off;

  SmoothedLabels(std::span<const Index> labels_, double smoothing, Index classes)
      : labels(labels_), on(1 - smoothing), off(smoothing / static_cast<double>(classes)) {}
  LION_HOST_DEVICE double operator()(Index b, Index k) const {
    return (k == labels.data()[b] ? on : 0) + off;  // operator[] may check, which is the host's
  }
};

template <Real S>
struct SoftTargets {
  View<const S, 2> targets;
  LION_HOST_DEVICE double operator()(Index b, Index k) const { return static_cast<double>(targets(b, k)); }
};

/// What a loss's sum is divided by: `rows`, or where it is 0 the rows B of logits [B,K], of which there must be one.
inline double check_rows(const char* loss, const Shape<2>& logits, Index rows) {
  if (logits[1] < 1 || (logits[0] < 1 && rows == 0)) {
    throw ArgumentError(std::string(loss) + ": logits has shape " + to_string(logits) +
                        ", expected at least one row and one class");
  }
  if (rows != 0 && rows < logits[0]) {
    throw ArgumentError(std::string(loss) + ": rows is " + std::to_string(rows) + ", expected 0 or at least the " +
                        std::to_string(logits[0]) + " rows of logits");
  }
  return static_cast<double>(rows == 0 ? logits[0] : rows);
}

inline void check_labels(const char* loss, const char* name, std::span<const Index> labels, const Shape<2>& logits) {
  require_shape<1>(loss, name, {static_cast<Index>(labels.size())}, {logits[0]}, " to match logits");
  for (std::size_t b = 0; b < labels.size(); ++b) {
    if (labels[b] >= 0 && labels[b] < logits[1]) continue;
    throw ArgumentError(std::string(loss) + ": " + name + "[" + std::to_string(b) + "] is " +
                        std::to_string(labels[b]) + ", expected a value in [0, " + std::to_string(logits[1]) + ")");
  }
}

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

inline void check_fraction(const char* loss, const char* name, double value) {
  if (value >= 0 && value <= 1) return;
  throw ArgumentError(std::string(loss) + ": " + name + " is " + std::to_string(value) +
                      ", expected a value in [0, 1]");
}

}  // namespace lion::train::detail
