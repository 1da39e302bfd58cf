#pragma once
/// Models of one size on the same digits.

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "common/packed.hpp"
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
  std::vector<double> accuracies{};                               ///< of the test set, one per seed
  std::array<std::vector<double>, kPackedTypes.size()> packed{};  ///< likewise with packed weights, where asked for
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

/// The part of the test set that a model classifies as it should.
inline double test_accuracy(const model::Vision<float>& model, const Digits& digits, nn::Scratch& scratch,
                            Executor executor) {
  const Tensor<float, 2> logits = classify(model, digits.test_images(), scratch, executor);
  return static_cast<double>(train::count_correct<float>(logits.view(), digits.data.test.labels)) /
         static_cast<double>(digits.data.test.size());
}

/// Trains all contenders for each seed, in turns; `pack`: and tests them with packed weights, too.
inline ContestResult run_contest(const std::vector<Contender>& all, const model::VisionConfig& base,
                                 const Recipe& recipe, Index seeds, const Digits& digits, Executor executor,
                                 bool pack = false) {
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
      const double accuracy = test_accuracy(trials[i].model(), digits, scratch, executor);
      for (std::size_t t = 0; pack && t < kPackedTypes.size(); ++t) {
        const auto packed = packed_copy(trials[i].model(), kPackedTypes[t].second);
        result.standings[i].packed[t].push_back(test_accuracy(*packed, digits, scratch, executor));
      }
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
  const auto percent = [](const std::vector<double>& of_seeds) {
    const std::string text = format("%.1f %%", 100 * mean(of_seeds));
    return of_seeds.size() > 1 ? text + format(" ± %.1f", 100 * deviation(of_seeds)) : text;
  };
  std::vector<std::string> header{"model", "parameters", "test accuracy", "time per step"};
  const bool packed = !result.standings.front().packed[0].empty();
  for (std::size_t t = 0; packed && t < kPackedTypes.size(); ++t) header.push_back(kPackedTypes[t].first);
  Table table(header);
  for (std::size_t i = 0; i < result.standings.size(); ++i) {
    const Standing& s = result.standings[i];
    std::vector<std::string> row{s.name, std::to_string(s.parameters), percent(s.accuracies),
                                 result.times.per_step.empty() ? "-" : format("×%.2f", result.times.relative_time(i))};
    for (std::size_t t = 0; packed && t < kPackedTypes.size(); ++t) row.push_back(percent(s.packed[t]));
    table.add(row);
  }
  table.print(out);
}

}  // namespace lion::examples::digits
