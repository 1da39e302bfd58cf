#pragma once
/// Six models of one size on the same digits.

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "common/progress.hpp"
#include "common/table.hpp"
#include "digits/trial.hpp"

namespace lion::examples {

struct Contender {
  std::string name, mask, order;
};

/// The five LION models of the paper and the softmax ViT, last.
inline const std::vector<Contender>& contenders() {
  static const std::vector<Contender> all{{"LION-LIT", "linear", "row_major"}, {"LION-D", "decay", "row_major"},
                                          {"LION-D♮", "decay", "s_curve"},     {"LION-S", "selective", "row_major"},
                                          {"LION-S♮", "selective", "s_curve"}, {"softmax ViT", "softmax", "row_major"}};
  return all;
}

struct Standing {
  Index parameters = 0;
  std::vector<double> accuracies;     ///< of the test set, one per seed
  std::vector<double> relative_time;  ///< of a block of steps, over the softmax ViT's of the same round
};

struct Winner {
  std::string name;
  std::uint64_t seed = 0;
  double accuracy = -1;
  std::unique_ptr<model::Vision<float>> model;
};

struct ContestResult {
  std::vector<Standing> standings;  ///< in the order of `contenders`
  Winner best;                      ///< among the LION models
  double seconds_per_step = 0;      ///< of the softmax ViT, median
};

inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Trains all models for each seed. The models take turns at blocks of a few steps, so that whatever else the machine
/// does slows all of them alike.
inline ContestResult run_contest(const model::VisionConfig& base, const Recipe& recipe, Index seeds,
                                 const Digits& digits, Executor executor) {
  constexpr Index kBlock = 4;
  const std::vector<Contender>& all = contenders();
  ContestResult result;
  result.standings.resize(all.size());
  std::vector<double> softmax_times;
  const Index steps = recipe.epochs * train::Batches(digits.data.train.size(), recipe.batch, 0).per_epoch();
  Progress progress("training", seeds * steps * static_cast<Index>(all.size()));
  nn::Scratch scratch;

  for (Index seed = 0; seed < seeds; ++seed) {
    std::vector<Trial> trials;
    for (const Contender& contender : all) {
      model::VisionConfig config = base;
      config.mask_type = contender.mask;
      config.order = contender.order;
      config.seed = static_cast<std::uint64_t>(seed);
      trials.emplace_back(config, recipe, digits);
    }
    for (Index done = 0; done < steps; done += kBlock) {
      const Index n = (std::min)(kBlock, steps - done);
      std::vector<double> times;
      for (std::size_t i = 0; i < all.size(); ++i) {
        times.push_back(trials[i].train(n, executor));
        progress.advance(n, "seed " + std::to_string(seed + 1) + "/" + std::to_string(seeds) + "  loss " +
                                format("%.3f", trials[i].loss()));
      }
      if (n < kBlock || done == 0) continue;  // the first block also makes the memory
      softmax_times.push_back(times.back() / static_cast<double>(n));
      for (std::size_t i = 0; i < all.size(); ++i) {
        result.standings[i].relative_time.push_back(times[i] / times.back());
      }
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Tensor<float, 2> logits = classify(trials[i].model(), digits, scratch, executor);
      const double accuracy = static_cast<double>(train::count_correct<float>(logits.view(), digits.data.test.labels)) /
                              static_cast<double>(digits.data.test.size());
      result.standings[i].parameters = trials[i].model().parameter_count();
      result.standings[i].accuracies.push_back(accuracy);
      if (all[i].mask != "softmax" && accuracy > result.best.accuracy) {
        result.best = {all[i].name, static_cast<std::uint64_t>(seed), accuracy, trials[i].take_model()};
      }
    }
  }
  result.seconds_per_step = median(softmax_times);
  return result;
}

inline void print_standings(const ContestResult& result, std::ostream& out) {
  Table table({"model", "parameters", "test accuracy", "time per step"});
  for (std::size_t i = 0; i < result.standings.size(); ++i) {
    const Standing& s = result.standings[i];
    const auto n = static_cast<double>(s.accuracies.size());
    const double mean = std::accumulate(s.accuracies.begin(), s.accuracies.end(), 0.0) / n;
    double squares = 0;
    for (double a : s.accuracies) squares += (a - mean) * (a - mean);
    std::string accuracy = format("%.1f %%", 100 * mean);
    if (n > 1) accuracy += format(" ± %.1f", 100 * std::sqrt(squares / (n - 1)));
    table.add({contenders()[i].name, std::to_string(s.parameters), accuracy,
               s.relative_time.empty() ? "-" : format("×%.2f", median(s.relative_time))});
  }
  table.print(out);
}

}  // namespace lion::examples
