#pragma once
/// The losses of a student: of the labels and of a teacher (DeiT, Touvron et al., arXiv 2012.12877, §4).
///
/// Logits [R,B,K] are those of model::Vision's forward_train: the first of R classifiers learns the label, the last the
/// teacher. With a distillation token R is 2; with R = 1 one classifier learns both. The label's part takes labels [B],
/// smoothed by s in [0, 1], or targets [B,K] as mixup makes them. All losses are means over the
/// batch (or sums over `rows`, as cross_entropy's), computed in double; dlogits [R,B,K], written if present, is the
/// gradient. ArgumentError is thrown before anything is written.

#include "lion/train/softmax_loss.hpp"

namespace lion::train {

/// Of soft distillation, the paper's values.
struct SoftDistillation {
  double temperature = 3;  ///< τ > 0
  double weight = 0.1;     ///< α in [0, 1] of the teacher's part
};

namespace detail {

template <class T>
View<T, 2> classifier(const View<T, 3>& x, Index r) {
  return x ? View<T, 2>(x.at(r), {x.extent(1), x.extent(2)}, {x.stride(1), x.stride(2)}) : View<T, 2>();
}

/// Checks logits and dlogits; what the sums are divided by.
template <Real S>
double check_distillation(const char* loss, const View<const S, 3>& logits, const View<S, 3>& dlogits, Index rows) {
  if (logits.extent(0) < 1 || logits.extent(0) > 2) {
    throw ArgumentError(std::string(loss) + ": logits has shape " + to_string(logits.shape()) +
                        ", expected one or two classifiers");
  }
  if (dlogits) require_shape<3>(loss, "dlogits", dlogits.shape(), logits.shape(), " to match logits");
  return check_rows(loss, {logits.extent(1), logits.extent(2)}, rows);
}

/// weight · Σ_b KL(softmax(teacher/τ) ‖ softmax(logits/τ)); its gradient is written or added as cross-entropy's.
template <Real S>
double weighted_divergence(const View<const S, 2>& logits, const View<const S, 2>& teacher, double temperature,
                           double weight, const View<S, 2>& dlogits, const Executor& executor, bool add) {
  const Index K = logits.extent(1);
  const double sum = sum_over_rows(logits.extent(0), 2 * K, executor, [&](Index b, double* power) {
    const SoftmaxRow student(logits, b, temperature, power), other(teacher, b, temperature, power + K);
    double loss = 0;
    for (Index k = 0; k < K; ++k) {
      const double q = other.power[k] / other.sum;
      if (q > 0) loss += q * (other.log_softmax(teacher(b, k)) - student.log_softmax(logits(b, k)));
      if (!dlogits) continue;
      const double gradient = weight * (student.power[k] / student.sum - q) / temperature;
      dlogits(b, k) = static_cast<S>(gradient + (add ? static_cast<double>(dlogits(b, k)) : 0));
    }
    return loss;
  });
  return weight * sum;
}

template <Real S, class Target>
double hard_distillation(const View<const S, 3>& logits, const Target& target, std::span<const Index> teacher_labels,
                         const View<S, 3>& dlogits, const Executor& executor, double count) {
  const Index last = logits.extent(0) - 1;
  const double own =
      weighted_cross_entropy(classifier(logits, 0), target, 0.5 / count, classifier(dlogits, 0), executor);
  return own + weighted_cross_entropy(classifier(logits, last), SmoothedLabels(teacher_labels, 0, logits.extent(2)),
                                      0.5 / count, classifier(dlogits, last), executor, last == 0);
}

template <Real S, class Target>
double soft_distillation(const View<const S, 3>& logits, const Target& target, const View<const S, 2>& teacher,
                         const View<S, 3>& dlogits, const SoftDistillation& options, const Executor& executor,
                         double count) {
  const Index last = logits.extent(0) - 1;
  const double tau = options.temperature;
  const double own = weighted_cross_entropy(classifier(logits, 0), target, (1 - options.weight) / count,
                                            classifier(dlogits, 0), executor);
  return own + weighted_divergence(classifier(logits, last), teacher, tau, options.weight * tau * tau / count,
                                   classifier(dlogits, last), executor, last == 0);
}

template <Real S>
void check_soft(const View<const S, 3>& logits, const View<const S, 2>& teacher, const SoftDistillation& options) {
  require_shape<2>("soft_distillation", "teacher", teacher.shape(), {logits.extent(1), logits.extent(2)},
                   " to match logits");
  check_fraction("soft_distillation", "weight", options.weight);
  if (options.temperature > 0 && std::isfinite(options.temperature)) return;
  throw ArgumentError("soft_distillation: temperature is " + std::to_string(options.temperature) +
                      ", expected a finite value above 0");
}

}  // namespace detail

/// Hard distillation: ½·CE(softmax(z), label) + ½·CE(softmax(z_t), teacher's label). teacher_labels [B] are the classes
/// of the teacher's largest logits (`predictions`); they are not smoothed.
template <Real S>
double hard_distillation(View<const S, 3> logits, std::span<const Index> labels, std::span<const Index> teacher_labels,
                         View<S, 3> dlogits = {}, double label_smoothing = 0, Executor executor = {}, Index rows = 0) {
  const double count = detail::check_distillation("hard_distillation", logits, dlogits, rows);
  const Shape<2> shape{logits.extent(1), logits.extent(2)};
  detail::check_labels("hard_distillation", "labels", labels, shape);
  detail::check_labels("hard_distillation", "teacher_labels", teacher_labels, shape);
  detail::check_fraction("hard_distillation", "label_smoothing", label_smoothing);
  return detail::hard_distillation(logits, detail::SmoothedLabels(labels, label_smoothing, shape[1]), teacher_labels,
                                   dlogits, executor, count);
}
template <Real S>
double hard_distillation(View<const S, 3> logits, View<const S, 2> targets, std::span<const Index> teacher_labels,
                         View<S, 3> dlogits = {}, Executor executor = {}, Index rows = 0) {
  const double count = detail::check_distillation("hard_distillation", logits, dlogits, rows);
  const Shape<2> shape{logits.extent(1), logits.extent(2)};
  detail::check_targets("hard_distillation", targets, shape);
  detail::check_labels("hard_distillation", "teacher_labels", teacher_labels, shape);
  return detail::hard_distillation(logits, detail::SoftTargets<S>{targets}, teacher_labels, dlogits, executor, count);
}

/// Soft distillation: (1 − α)·CE(softmax(z), label) + α·τ²·KL(softmax(teacher/τ) ‖ softmax(z_t/τ)), teacher [B,K] being
/// logits (Hinton et al., arXiv 1503.02531).
template <Real S>
double soft_distillation(View<const S, 3> logits, std::span<const Index> labels, View<const S, 2> teacher,
                         View<S, 3> dlogits = {}, const SoftDistillation& options = {}, double label_smoothing = 0,
                         Executor executor = {}, Index rows = 0) {
  const double count = detail::check_distillation("soft_distillation", logits, dlogits, rows);
  detail::check_labels("soft_distillation", "labels", labels, {logits.extent(1), logits.extent(2)});
  detail::check_soft(logits, teacher, options);
  detail::check_fraction("soft_distillation", "label_smoothing", label_smoothing);
  return detail::soft_distillation(logits, detail::SmoothedLabels(labels, label_smoothing, logits.extent(2)), teacher,
                                   dlogits, options, executor, count);
}
template <Real S>
double soft_distillation(View<const S, 3> logits, View<const S, 2> targets, View<const S, 2> teacher,
                         View<S, 3> dlogits = {}, const SoftDistillation& options = {}, Executor executor = {},
                         Index rows = 0) {
  const double count = detail::check_distillation("soft_distillation", logits, dlogits, rows);
  detail::check_targets("soft_distillation", targets, {logits.extent(1), logits.extent(2)});
  detail::check_soft(logits, teacher, options);
  return detail::soft_distillation(logits, detail::SoftTargets<S>{targets}, teacher, dlogits, options, executor, count);
}

}  // namespace lion::train
