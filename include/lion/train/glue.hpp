#pragma once
/// The metrics of GLUE's tasks (Wang et al., arXiv 1804.07461).

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lion/core/glue_task.hpp"
#include "lion/train/metrics.hpp"

namespace lion::train {

inline std::string_view name_of(GlueMetric metric) {
  constexpr std::array<std::string_view, 5> kNames = {"accuracy", "F1", "Matthews", "Pearson", "Spearman"};
  return kNames[static_cast<std::size_t>(metric)];
}

struct MetricValue {
  GlueMetric metric;
  double value;
};

/// The task's metrics of predicted classes [N]; F1 is that of class 1. Throws ArgumentError for the task of scores.
inline std::vector<MetricValue> glue_metrics(GlueTask task, std::span<const Index> predictions,
                                             std::span<const Index> labels) {
  if (glue_task(task).is_regression()) {
    throw ArgumentError("glue: " + std::string(glue_task(task).name) + " is judged by scores, expected no classes");
  }
  std::vector<MetricValue> values;
  for (const GlueMetric metric : glue_task(task).metrics) {
    values.push_back({metric, metric == GlueMetric::kAccuracy ? accuracy(predictions, labels)
                              : metric == GlueMetric::kF1     ? f1(predictions, labels)
                                                              : matthews_correlation(predictions, labels)});
  }
  return values;
}

/// The task's metrics of predicted scores [N], for STS-B. Throws ArgumentError for tasks of classes.
inline std::vector<MetricValue> glue_metrics(GlueTask task, std::span<const double> predictions,
                                             std::span<const double> labels) {
  if (!glue_task(task).is_regression()) {
    throw ArgumentError("glue: " + std::string(glue_task(task).name) + " is judged by classes, expected no scores");
  }
  return {{GlueMetric::kPearson, pearson_correlation(predictions, labels)},
          {GlueMetric::kSpearman, spearman_correlation(predictions, labels)}};
}

/// What a leaderboard averages: the mean of the task's metrics.
inline double glue_score(std::span<const MetricValue> values) {
  double sum = 0;
  for (const MetricValue& value : values) sum += value.value;
  return sum / static_cast<double>(values.size());
}

}  // namespace lion::train
