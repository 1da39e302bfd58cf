#pragma once
/// Four models of one size on the same novel.

#include <filesystem>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "common/progress.hpp"
#include "common/table.hpp"
#include "common/turns.hpp"
#include "novel/trial.hpp"

namespace lion::examples {

struct Contender {
  std::string name, file, mask;
};

/// The three LION models of the paper and BERT, last.
inline const std::vector<Contender>& contenders() {
  static const std::vector<Contender> all{{"LION-S", "lion-s.safetensors", "selective"},
                                          {"LION-D", "lion-d.safetensors", "decay"},
                                          {"LION-LIT", "lion-lit.safetensors", "linear"},
                                          {"BERT", "bert.safetensors", "softmax"}};
  return all;
}

/// Where checkpoints go, and how often.
struct Saving {
  std::filesystem::path folder;  ///< empty: nowhere
  bool resume = false;           ///< go on from what is there
  Index every = 1;               ///< steps
};

/// The models, untrained, or as the folder has them.
inline std::vector<Trial> make_trials(const model::MaskedLanguageConfig& base, const Recipe& recipe,
                                      const Corpus& corpus, const Saving& saving) {
  std::vector<Trial> trials;
  for (const Contender& contender : contenders()) {
    model::MaskedLanguageConfig config = base;
    const auto of_paper = model::MaskedLanguageConfig::base_size(contender.mask);
    config.mask_type = of_paper.mask_type;
    config.position_embeddings = of_paper.position_embeddings;
    config.layer_norm_after = of_paper.layer_norm_after;
    trials.emplace_back(contender.name, config, recipe, corpus);
    const std::filesystem::path path = saving.folder / contender.file;
    if (saving.resume && std::filesystem::exists(path)) trials.back().load(path);
  }
  return trials;
}

/// Trains all models, in turns, saving as they go.
inline TurnTimes train_trials(std::vector<Trial>& trials, const Recipe& recipe, const Saving& saving,
                              Executor executor) {
  TurnTimes times;
  Index left = 0;
  for (const Trial& trial : trials) left += recipe.steps - trial.step();
  Progress progress("training", left);
  train_in_turns(trials, recipe.steps, executor, times, [&](std::size_t i, Index n) {
    const Trial& trial = trials[i];
    progress.advance(
        n, "step " + std::to_string(trial.step()) + "  " + trial.name() + " loss " + format("%.2f", trial.loss()));
    const bool due = trial.step() / saving.every > (trial.step() - n) / saving.every || trial.step() == recipe.steps;
    if (due && !saving.folder.empty()) trial.save(saving.folder / contenders()[i].file);
  });
  return times;
}

/// Prints how the models and one who knows frequencies alone fill in the held-out chapters; returns which model is
/// best.
inline std::size_t print_standings(const std::vector<Trial>& trials, const TurnTimes& times, const HeldOut& held_out,
                                   const Corpus& corpus, Executor executor, std::ostream& out) {
  nn::Scratch scratch;
  std::size_t best = 0;
  double most = -1;
  Table table({"model", "parameters", "masked accuracy", "loss", "time per step"});
  const auto add = [&](const std::string& name, const std::string& parameters, const Score& score,
                       const std::string& time) {
    table.add({name, parameters, format("%.1f %%", 100 * score.accuracy), format("%.2f", score.loss), time});
  };
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const Score score = held_out.score(trials[i].model(), scratch, executor);
    add(trials[i].name(), std::to_string(trials[i].model().parameter_count()), score,
        times.per_step.empty() ? "-" : format("×%.2f", times.relative_time(i)));
    if (score.accuracy > most) most = score.accuracy, best = i;
  }
  add("most frequent token", "", held_out.score_of_frequencies(corpus), "");
  table.print(out);
  return best;
}

}  // namespace lion::examples
