#pragma once
/// The time and memory of a training step, relative to another model's.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lion/core/executor.hpp"
#include "lion/nn/parameter.hpp"
#include "tables/sections.hpp"

namespace lion::bench {

/// A model with its optimiser and a batch.
class TrainingStep {
 public:
  virtual ~TrainingStep() = default;
  /// Forward, loss, backward, update.
  virtual void run(const Executor& executor) = 0;
  virtual Index parameters() const = 0;
};

/// A row of a table.
struct Row {
  std::string name;
  double paper_ratio = 1;  ///< what the paper reports on its GPU
  std::function<std::unique_ptr<TrainingStep>()> make;
};

/// An entry of `models` for each row: parameters, peak memory of the process, seconds per step and the ratio to the
/// first row's. Each row runs beside the first alone, in turns, so that two models are in memory at a time and whatever
/// else the machine does slows both. Ratios are of the two steps of a round: median, least and greatest.
Json measure_times(const std::string& title, const std::vector<Row>& rows, const Settings& settings);

}  // namespace lion::bench
