#pragma once
/// The tasks of GLUE (Wang et al., arXiv 1804.07461): what their files hold and by what they are judged.

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion {

/// MNLI is one task; matched and mismatched are two files of it.
enum class GlueTask { kCola, kSst2, kMrpc, kQqp, kStsb, kMnli, kQnli, kRte, kWnli };

enum class GlueMetric { kAccuracy, kF1, kMatthews, kPearson, kSpearman };

/// What is known of a task.
struct GlueTaskInfo {
  GlueTask task;
  std::string_view name;  ///< "CoLA", …
  bool pair;              ///< two sentences
  std::span<const std::string_view>
      labels;                           ///< the classes as the files write them, in order; empty: a score in [0, 5]
  std::span<const GlueMetric> metrics;  ///< by which it is judged

  Index classes() const { return static_cast<Index>(labels.size()); }
  bool is_regression() const { return labels.empty(); }
};

namespace detail {
inline constexpr std::array<std::string_view, 2> kBinary = {"0", "1"};
inline constexpr std::array<std::string_view, 2> kEntailment = {"entailment", "not_entailment"};
inline constexpr std::array<std::string_view, 3> kInference = {"entailment", "neutral", "contradiction"};
inline constexpr std::array kByAccuracy = {GlueMetric::kAccuracy};
inline constexpr std::array kByAccuracyAndF1 = {GlueMetric::kAccuracy, GlueMetric::kF1};
inline constexpr std::array kByMatthews = {GlueMetric::kMatthews};
inline constexpr std::array kByCorrelation = {GlueMetric::kPearson, GlueMetric::kSpearman};

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

}  // namespace lion
