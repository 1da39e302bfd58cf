#pragma once
/// How good predictions are: the metrics of GLUE.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion::train {

namespace detail {
inline void check_metric(const char* operation, std::size_t predictions, std::size_t labels, std::size_t least) {
  if (predictions != labels) {
    throw ArgumentError(std::string(operation) + ": predictions has " + std::to_string(predictions) +
                        " entries, expected " + std::to_string(labels) + " to match labels");
  }
  if (labels < least) {
    throw ArgumentError(std::string(operation) + ": labels has " + std::to_string(labels) +
                        " entries, expected at least " + std::to_string(least));
  }
}
}  // namespace detail

/// The share of predictions [N] that are their labels [N], N ≥ 1. In [0, 1].
inline double accuracy(std::span<const Index> predictions, std::span<const Index> labels) {
  detail::check_metric("accuracy", predictions.size(), labels.size(), 1);
  Index right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) right += predictions[i] == labels[i];
  return static_cast<double>(right) / static_cast<double>(labels.size());
}

/// The harmonic mean of precision and recall of one class: 2 TP / (2 TP + FP + FN), N ≥ 1. In [0, 1]; 0 where neither
/// predictions nor labels have the class (as scikit-learn).
inline double f1(std::span<const Index> predictions, std::span<const Index> labels, Index positive = 1) {
  detail::check_metric("f1", predictions.size(), labels.size(), 1);
  Index both = 0, either = 0;  // TP, 2 TP + FP + FN
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool said = predictions[i] == positive, is = labels[i] == positive;
    both += said && is;
    either += Index{said} + Index{is};
  }
  return either == 0 ? 0 : 2 * static_cast<double>(both) / static_cast<double>(either);
}

/// Matthews' correlation of classes, any number of them (Gorodkin, 2004), N ≥ 1. In [-1, 1]; 0 where predictions or
/// labels are all of one class (as scikit-learn).
inline double matthews_correlation(std::span<const Index> predictions, std::span<const Index> labels) {
  detail::check_metric("matthews_correlation", predictions.size(), labels.size(), 1);
  std::map<Index, std::pair<double, double>> counts;  // of each class, among predictions and labels
  double right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    ++counts[predictions[i]].first;
    ++counts[labels[i]].second;
    right += predictions[i] == labels[i];
  }
  // N² times the covariances of the indicators of class. Whole numbers: exact below 2^53.
  const double n = static_cast<double>(labels.size());
  double both = right * n, said = n * n, is = n * n;
  for (const auto& [c, count] : counts) {
    both -= count.first * count.second;
    said -= count.first * count.first;
    is -= count.second * count.second;
  }
  return said == 0 || is == 0 ? 0 : std::clamp(both / std::sqrt(said) / std::sqrt(is), -1.0, 1.0);
}

/// Pearson's correlation of predictions [N] and labels [N], N ≥ 2. In [-1, 1]; NaN where either is constant, for there
/// is none, or holds a NaN (as SciPy).
inline double pearson_correlation(std::span<const double> predictions, std::span<const double> labels) {
  detail::check_metric("pearson_correlation", predictions.size(), labels.size(), 2);
  const auto centred = [](std::span<const double> values) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    std::vector<double> all(values.begin(), values.end());
    const bool constant = std::ranges::all_of(values, [&](double v) { return v == values.front(); });
    for (double& v : all) v = constant ? 0 : v - mean;  // rounding of the mean must not make up a variance
    return all;
  };
  const auto x = centred(predictions), y = centred(labels);
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += x[i] * x[i];
    yy += y[i] * y[i];
    xy += x[i] * y[i];
  }
  if (!(xx > 0 && yy > 0)) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(xy / std::sqrt(xx) / std::sqrt(yy), -1.0, 1.0);
}

/// The values' places in ascending order from 1 on; equal values share the mean of their places. No NaN.
inline std::vector<double> average_ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<double> places(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double mean = static_cast<double>(begin + end + 1) / 2;
    for (; begin < end; ++begin) places[order[begin]] = mean;
  }
  return places;
}

/// Spearman's correlation, that of Pearson between ranks, N ≥ 2. In [-1, 1]; NaN where predictions or labels are
/// constant or hold a NaN (as SciPy).
inline double spearman_correlation(std::span<const double> predictions, std::span<const double> labels) {
  detail::check_metric("spearman_correlation", predictions.size(), labels.size(), 2);
  for (const auto values : {predictions, labels}) {
    if (std::ranges::any_of(values, [](double v) { return std::isnan(v); })) {
      return std::numeric_limits<double>::quiet_NaN();
    }
  }
  return pearson_correlation(average_ranks(predictions), average_ranks(labels));
}

}  // namespace lion::train
