#pragma once
/// Models of one size on the same digits.

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "common/progress.hpp"
#include "common/statistics.hpp"
#include "common/table.hpp"
#include "common/turns.hpp"
#include "digits/trial.hpp"

namespace lion::examples::digits {

struct Contender {
  std::string name;
  void (*configure)(model::VisionConfig&);  ///< what sets it apart from the others
};

/// The five LION models of the paper and the softmax ViT, last.
inline const std::vector<Contender>& contenders() {
  using Config = model::VisionConfig;
  static const std::vector<Contender> all{
      {"LION-LIT", [](Config& c) { c.mask_type = "linear"; }},
      {"LION-D", [](Config& c) { c.mask_type = "decay"; }},
      {"LION-D♮", [](Config& c) { c.mask_type = "decay", c.order = "s_curve"; }},
      {"LION-S", [](Config& c) { c.mask_type = "selective"; }},
      {"LION-S♮", [](Config& c) { c.mask_type = "selective", c.order = "s_curve"; }},
      {"softmax ViT", [](Config& c) { c.mask_type = "softmax"; }}};
  return all;
}

inline bool is_distilled(const Contender& contender) {
  model::VisionConfig config;
  contender.configure(config);
  return config.distilled;
}

struct Standing {
  std::string name;
  Index parameters = 0;
  std::vector<double> accuracies{};  ///< of the test set, one per seed
};

struct Winner {
  std::string name;
  std::uint64_t seed = 0;
  double accuracy = -1;
  std::unique_ptr<model::Vision<float>> model;
};

struct ContestResult {
  std::vector<Standing> standings;  ///< in the order of the contenders
  Winner best;                      ///< among the LION models
  TurnTimes times;                  ///< of all seeds, relative to the last contender
};

/// The classes of the digits to train on according to LION-D♮, trained on them under the same recipe: a teacher for
/// those that are distilled.
inline std::vector<Index> teach(model::VisionConfig config, const Recipe& recipe, Index steps, const Digits& digits,
                                Executor executor) {
  config.mask_type = "decay";
  config.order = "s_curve";
  Trial trial(config, recipe, digits);
  trial.train(steps, executor);
  nn::Scratch scratch;
  return train::predictions<float>(classify(trial.model(), digits.train_images(), scratch, executor).view());
}

/// Trains all contenders for each seed, in turns.
inline ContestResult run_contest(const std::vector<Contender>& all, const model::VisionConfig& base,
                                 const Recipe& recipe, Index seeds, const Digits& digits, Executor executor) {
  ContestResult result;
  for (const Contender& contender : all) result.standings.push_back({contender.name});
  const Index steps = recipe.epochs * train::Batches(digits.data.train.size(), recipe.batch, 0).per_epoch();
  Progress progress("training", seeds * steps * static_cast<Index>(all.size()));
  nn::Scratch scratch;

  for (Index seed = 0; seed < seeds; ++seed) {
    std::vector<Trial> trials;
    std::vector<Index> teacher;
    for (const Contender& contender : all) {
      model::VisionConfig config = base;
      config.seed = static_cast<std::uint64_t>(seed);
      if (teacher.empty() && is_distilled(contender)) teacher = teach(config, recipe, steps, digits, executor);
      contender.configure(config);
      trials.emplace_back(config, recipe, digits, teacher);
    }
    train_in_turns(trials, steps, executor, result.times, [&](std::size_t i, Index n) {
      progress.advance(n, "seed " + std::to_string(seed + 1) + "/" + std::to_string(seeds) + "  loss " +
                              format("%.3f", trials[i].loss()));
    });
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Tensor<float, 2> logits = classify(trials[i].model(), digits.test_images(), scratch, executor);
      const double accuracy = static_cast<double>(train::count_correct<float>(logits.view(), digits.data.test.labels)) /
                              static_cast<double>(digits.data.test.size());
      result.standings[i].parameters = trials[i].model().parameter_count();
      result.standings[i].accuracies.push_back(accuracy);
      const model::VisionConfig& config = trials[i].model().config();
      if (config.kind == "vision" && config.mask_type != "softmax" && accuracy > result.best.accuracy) {
        result.best = {all[i].name, static_cast<std::uint64_t>(seed), accuracy, trials[i].take_model()};
      }
    }
  }
  return result;
}

inline void print_standings(const ContestResult& result, std::ostream& out) {
  Table table({"model", "parameters", "test accuracy", "time per step"});
  for (std::size_t i = 0; i < result.standings.size(); ++i) {
    const Standing& s = result.standings[i];
    std::string accuracy = format("%.1f %%", 100 * mean(s.accuracies));
    if (s.accuracies.size() > 1) accuracy += format(" ± %.1f", 100 * deviation(s.accuracies));
    table.add({s.name, std::to_string(s.parameters), accuracy,
               result.times.per_step.empty() ? "-" : format("×%.2f", result.times.relative_time(i))});
  }
  table.print(out);
}

}  // namespace lion::examples::digits
