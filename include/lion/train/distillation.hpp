#pragma once
/// The losses of a student: of the labels and of a teacher (DeiT, Touvron et al., arXiv 2012.12877, §4).
///
/// Logits [R,B,K] are those of model::Vision's forward_train: the first of R classifiers learns the label, the last the
/// teacher. With a distillation token R is 2; with R = 1 one classifier learns both. The label's part takes labels [B],
/// smoothed by s in [0, 1], or targets [B,K] as mixup makes them. All losses are means over the
/// batch, computed in double; dlogits [R,B,K], written if present, is the gradient. ArgumentError is thrown before
/// anything is written.

#include "lion/train/soft_cross_entropy.hpp"

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

template <Real S>
void check_distillation(const char* loss, const View<const S, 3>& logits, const View<S, 3>& dlogits) {
  if (logits.extent(0) < 1 || logits.extent(0) > 2 || logits.extent(1) < 1 || logits.extent(2) < 1) {
    throw ArgumentError(std::string(loss) + ": logits has shape " + to_string(logits.shape()) +
                        ", expected one or two classifiers, at least one row and one class");
  }
  if (dlogits) require_shape<3>(loss, "dlogits", dlogits.shape(), logits.shape(), " to match logits");
}

/// weight · mean KL(softmax(teacher/τ) ‖ softmax(logits/τ)); its gradient is written or added as cross-entropy's.
template <Real S>
double weighted_divergence(const View<const S, 2>& logits, const View<const S, 2>& teacher, double temperature,
                           double weight, const View<S, 2>& dlogits, bool add) {
  const Index B = logits.extent(0), K = logits.extent(1);
  const double scale = weight / static_cast<double>(B);
  double loss = 0;
  for (Index b = 0; b < B; ++b) {
    const LogSoftmax student(logits, b, temperature), other(teacher, b, temperature);
    for (Index k = 0; k < K; ++k) {
      const double log_p = student(logits(b, k)), log_q = other(teacher(b, k)), q = std::exp(log_q);
      if (q > 0) loss += q * (log_q - log_p);
      if (!dlogits) continue;
      const double gradient = scale * (std::exp(log_p) - q) / temperature;
      dlogits(b, k) = static_cast<S>(gradient + (add ? static_cast<double>(dlogits(b, k)) : 0));
    }
  }
  return scale * loss;
}

/// Half the label's cross-entropy, half that of the teacher's label.
template <Real S, class Target>
double hard_distillation(const View<const S, 3>& logits, const Target& target, std::span<const Index> teacher_labels,
                         const View<S, 3>& dlogits) {
  const Index last = logits.extent(0) - 1;
  const double own = weighted_cross_entropy(classifier(logits, 0), target, 0.5, classifier(dlogits, 0));
  return own + weighted_cross_entropy(classifier(logits, last), SmoothedLabels(teacher_labels, 0, logits.extent(2)),
                                      0.5, classifier(dlogits, last), last == 0);
}

template <Real S, class Target>
double soft_distillation(const View<const S, 3>& logits, const Target& target, const View<const S, 2>& teacher,
                         const View<S, 3>& dlogits, const SoftDistillation& options) {
  const Index last = logits.extent(0) - 1;
  const double tau = options.temperature;
  const double own = weighted_cross_entropy(classifier(logits, 0), target, 1 - options.weight, classifier(dlogits, 0));
  return own + weighted_divergence(classifier(logits, last), teacher, tau, options.weight * tau * tau,
                                   classifier(dlogits, last), last == 0);
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
                         View<S, 3> dlogits = {}, double label_smoothing = 0) {
  detail::check_distillation("hard_distillation", logits, dlogits);
  const Shape<2> shape{logits.extent(1), logits.extent(2)};
  detail::check_labels("hard_distillation", "labels", labels, shape);
  detail::check_labels("hard_distillation", "teacher_labels", teacher_labels, shape);
  detail::check_fraction("hard_distillation", "label_smoothing", label_smoothing);
  return detail::hard_distillation(logits, detail::SmoothedLabels(labels, label_smoothing, shape[1]), teacher_labels,
                                   dlogits);
}
template <Real S>
double hard_distillation(View<const S, 3> logits, View<const S, 2> targets, std::span<const Index> teacher_labels,
                         View<S, 3> dlogits = {}) {
  detail::check_distillation("hard_distillation", logits, dlogits);
  const Shape<2> shape{logits.extent(1), logits.extent(2)};
  detail::check_targets("hard_distillation", targets, shape);
  detail::check_labels("hard_distillation", "teacher_labels", teacher_labels, shape);
  return detail::hard_distillation(logits, detail::SoftTargets<S>{targets}, teacher_labels, dlogits);
}

/// Soft distillation: (1 − α)·CE(softmax(z), label) + α·τ²·KL(softmax(teacher/τ) ‖ softmax(z_t/τ)), teacher [B,K] being
/// logits (Hinton et al., arXiv 1503.02531).
template <Real S>
double soft_distillation(View<const S, 3> logits, std::span<const Index> labels, View<const S, 2> teacher,
                         View<S, 3> dlogits = {}, const SoftDistillation& options = {}, double label_smoothing = 0) {
  detail::check_distillation("soft_distillation", logits, dlogits);
  detail::check_labels("soft_distillation", "labels", labels, {logits.extent(1), logits.extent(2)});
  detail::check_soft(logits, teacher, options);
  detail::check_fraction("soft_distillation", "label_smoothing", label_smoothing);
  return detail::soft_distillation(logits, detail::SmoothedLabels(labels, label_smoothing, logits.extent(2)), teacher,
                                   dlogits, options);
}
template <Real S>
double soft_distillation(View<const S, 3> logits, View<const S, 2> targets, View<const S, 2> teacher,
                         View<S, 3> dlogits = {}, const SoftDistillation& options = {}) {
  detail::check_distillation("soft_distillation", logits, dlogits);
  detail::check_targets("soft_distillation", targets, {logits.extent(1), logits.extent(2)});
  detail::check_soft(logits, teacher, options);
  return detail::soft_distillation(logits, detail::SoftTargets<S>{targets}, teacher, dlogits, options);
}

}  // namespace lion::train
