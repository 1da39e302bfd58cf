#pragma once
/// Models that train side by side.

#include <algorithm>
#include <vector>

#include "common/statistics.hpp"
#include "lion/core/executor.hpp"

namespace lion::examples {

/// How long the steps of models took that trained in turns.
struct TurnTimes {
  std::vector<std::vector<double>> relative;  ///< of each model: a turn's time over the last model's of the same round
  std::vector<double> per_step;               ///< seconds of a step of the last model

  double relative_time(std::size_t model) const { return median(relative[model]); }
};

/// Lets each trial take its steps until it has `steps`, in turns of a few, so that whatever else the machine does slows
/// all of them alike. A trial has `step()`, the steps it has taken, and `train(n, executor)`, which takes n more and
/// returns the seconds. after(i, n) is called after n steps of trial i.
template <class Trial, class F>
void train_in_turns(std::vector<Trial>& trials, Index steps, Executor executor, TurnTimes& times, F&& after) {
  constexpr Index kTurn = 4;
  times.relative.resize(trials.size());
  std::vector<char> warm(trials.size(), false);  // the first turn also makes the memory
  for (Index done = 0; done < steps; done += kTurn) {
    const Index target = (std::min)(done + kTurn, steps);
    std::vector<double> seconds;
    bool whole = true;
    for (std::size_t i = 0; i < trials.size(); ++i) {
      const Index n = (std::max)(target - trials[i].step(), Index(0));  // of a run taken up again, some may be ahead
      whole = whole && n == kTurn && warm[i];
      if (n == 0) continue;
      seconds.push_back(trials[i].train(n, executor));
      warm[i] = true;
      after(i, n);
    }
    if (!whole) continue;
    times.per_step.push_back(seconds.back() / static_cast<double>(kTurn));
    for (std::size_t i = 0; i < trials.size(); ++i) times.relative[i].push_back(seconds[i] / seconds.back());
  }
}

}  // namespace lion::examples
