#pragma once
/// The tasks of GLUE (Wang et al., arXiv 1804.07461): their classes and their metrics.

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"
#include "lion/train/metrics.hpp"

namespace lion::train {

/// MNLI is one task; matched and mismatched are two files of it.
enum class GlueTask { kCola, kSst2, kMrpc, kQqp, kStsb, kMnli, kQnli, kRte, kWnli };

enum class Metric { kAccuracy, kF1, kMatthews, kPearson, kSpearman };

/// What is known of a task.
struct GlueTaskInfo {
  GlueTask task;
  std::string_view name;  ///< "CoLA", …
  bool pair;              ///< two sentences
  std::span<const std::string_view>
      labels;                       ///< the classes as the files write them, in order; empty: a score in [0, 5]
  std::span<const Metric> metrics;  ///< by which it is judged

  Index classes() const { return static_cast<Index>(labels.size()); }
  bool is_regression() const { return labels.empty(); }
};

namespace detail {
inline constexpr std::array<std::string_view, 2> kBinary = {"0", "1"};
inline constexpr std::array<std::string_view, 2> kEntailment = {"entailment", "not_entailment"};
inline constexpr std::array<std::string_view, 3> kInference = {"entailment", "neutral", "contradiction"};
inline constexpr std::array kByAccuracy = {Metric::kAccuracy};
inline constexpr std::array kByAccuracyAndF1 = {Metric::kAccuracy, Metric::kF1};
inline constexpr std::array kByMatthews = {Metric::kMatthews};
inline constexpr std::array kByCorrelation = {Metric::kPearson, Metric::kSpearman};

/// In the order of GlueTask. Classes are numbered as Hugging Face numbers them.
inline constexpr std::array<GlueTaskInfo, 9> kGlueTasks = {{
    {GlueTask::kCola, "CoLA", false, kBinary, kByMatthews},      // unacceptable, acceptable
    {GlueTask::kSst2, "SST-2", false, kBinary, kByAccuracy},     // negative, positive
    {GlueTask::kMrpc, "MRPC", true, kBinary, kByAccuracyAndF1},  // not equivalent, equivalent
    {GlueTask::kQqp, "QQP", true, kBinary, kByAccuracyAndF1},    // not duplicate, duplicate
    {GlueTask::kStsb, "STS-B", true, {}, kByCorrelation},        // similarity
    {GlueTask::kMnli, "MNLI", true, kInference, kByAccuracy},
    {GlueTask::kQnli, "QNLI", true, kEntailment, kByAccuracy},
    {GlueTask::kRte, "RTE", true, kEntailment, kByAccuracy},
    {GlueTask::kWnli, "WNLI", true, kBinary, kByAccuracy},  // not entailed, entailed
}};
}  // namespace detail

inline std::span<const GlueTaskInfo> glue_tasks() { return detail::kGlueTasks; }
inline const GlueTaskInfo& glue_task(GlueTask task) { return detail::kGlueTasks[static_cast<std::size_t>(task)]; }

/// The task of this name, in any case. Throws ArgumentError that lists the names.
inline const GlueTaskInfo& glue_task(std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  std::string names;
  for (const GlueTaskInfo& task : detail::kGlueTasks) {
    if (std::ranges::equal(task.name, name, {}, lower, lower)) return task;
    names += (names.empty() ? "" : ", ") + std::string(task.name);
  }
  throw ArgumentError("glue: task is '" + std::string(name) + "', expected one of " + names);
}

inline std::string_view name_of(Metric metric) {
  constexpr std::array<std::string_view, 5> kNames = {"accuracy", "F1", "Matthews", "Pearson", "Spearman"};
  return kNames[static_cast<std::size_t>(metric)];
}

struct MetricValue {
  Metric metric;
  double value;
};

/// The task's metrics of predicted classes [N]; F1 is that of class 1. Throws ArgumentError for the task of scores.
inline std::vector<MetricValue> glue_metrics(GlueTask task, std::span<const Index> predictions,
                                             std::span<const Index> labels) {
  if (glue_task(task).is_regression()) {
    throw ArgumentError("glue: " + std::string(glue_task(task).name) + " is judged by scores, expected no classes");
  }
  std::vector<MetricValue> values;
  for (const Metric metric : glue_task(task).metrics) {
    values.push_back({metric, metric == Metric::kAccuracy ? accuracy(predictions, labels)
                              : metric == Metric::kF1     ? f1(predictions, labels)
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
  return {{Metric::kPearson, pearson_correlation(predictions, labels)},
          {Metric::kSpearman, spearman_correlation(predictions, labels)}};
}

/// What a leaderboard averages: the mean of the task's metrics.
inline double glue_score(std::span<const MetricValue> values) {
  double sum = 0;
  for (const MetricValue& value : values) sum += value.value;
  return sum / static_cast<double>(values.size());
}

}  // namespace lion::train
