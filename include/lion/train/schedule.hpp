#pragma once
/// Learning rates over the steps of a run.

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "lion/core/view.hpp"

namespace lion::train {

/// What both schedules share: step t < warmup of `total` steps takes peak·(t+1)/(warmup+1), step `warmup` takes the
/// peak, and from there the rate falls to `minimum`, reached at step `total` and kept.
struct ScheduleOptions {
  double peak = 1e-3;
  Index total = 1;     ///< steps in all, ≥ 1
  Index warmup = 0;    ///< steps of linear warm-up, in [0, total]
  double minimum = 0;  ///< in [0, peak]

  /// The recipe of the paper's masked language models, for `Linear` (math.md §8): warm-up over 6 % of the steps, then
  /// down to 2 % of the peak.
  static ScheduleOptions masked_language(double peak, Index total) {
    return {.peak = peak, .total = total, .warmup = total * 6 / 100, .minimum = peak * 0.02};
  }
};

namespace detail {
inline void check_schedule(const char* name, const ScheduleOptions& o) {
  const std::string operation(name);
  if (o.total < 1) throw ArgumentError(operation + ": total is " + std::to_string(o.total) + ", expected at least 1");
  if (o.warmup < 0 || o.warmup > o.total) {
    throw ArgumentError(operation + ": warmup is " + std::to_string(o.warmup) + ", expected a value in [0, " +
                        std::to_string(o.total) + "]");
  }
  if (!(o.peak >= 0) || !std::isfinite(o.peak) || !(o.minimum >= 0 && o.minimum <= o.peak)) {
    throw ArgumentError(operation + ": minimum is " + std::to_string(o.minimum) + " and peak is " +
                        std::to_string(o.peak) + ", expected 0 <= minimum <= peak");
  }
}

/// fall(x) goes from 1 at x = 0 to 0 at x = 1.
template <class F>
double scheduled(const ScheduleOptions& o, Index step, F&& fall) {
  if (step < o.warmup) return o.peak * static_cast<double>(step + 1) / static_cast<double>(o.warmup + 1);
  if (step >= o.total) return o.minimum;
  const double x = static_cast<double>(step - o.warmup) / static_cast<double>(o.total - o.warmup);
  return o.minimum + (o.peak - o.minimum) * fall(x);
}
}  // namespace detail

/// Warm-up, then half a cosine (Loshchilov and Hutter, arXiv 1608.03983, without restarts).
class Cosine {
 public:
  explicit Cosine(const ScheduleOptions& options) : options_(options) { detail::check_schedule("Cosine", options); }
  double operator()(Index step) const {
    return detail::scheduled(options_, step, [](double x) { return (1 + std::cos(std::numbers::pi * x)) / 2; });
  }

 private:
  ScheduleOptions options_;
};

/// Warm-up, then a straight line (math.md §8, text).
class Linear {
 public:
  explicit Linear(const ScheduleOptions& options) : options_(options) { detail::check_schedule("Linear", options); }
  double operator()(Index step) const {
    return detail::scheduled(options_, step, [](double x) { return 1 - x; });
  }

 private:
  ScheduleOptions options_;
};

}  // namespace lion::train
