#pragma once
/// Models of one size on the same novel.

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "common/packed.hpp"
#include "common/progress.hpp"
#include "common/table.hpp"
#include "common/turns.hpp"
#include "novel/trial.hpp"

namespace lion::examples::novel {

struct Contender {
  std::string name, mask;
  std::string file{};  ///< its checkpoint in the folder of Saving
};

/// The three LION models of the paper and BERT, last.
inline const std::vector<Contender>& contenders() {
  static const std::vector<Contender> all{{"LION-S", "selective", "lion-s.safetensors"},
                                          {"LION-D", "decay", "lion-d.safetensors"},
                                          {"LION-LIT", "linear", "lion-lit.safetensors"},
                                          {"BERT", "softmax", "bert.safetensors"}};
  return all;
}

/// Where checkpoints go, and how often.
struct Saving {
  std::filesystem::path folder{};  ///< empty: nowhere
  bool resume = false;             ///< go on from what is there
  Index every = 1;                 ///< steps
};

/// The models of this size, untrained, or as the folder has them; each with the positions and norms that the paper
/// gives to models of its mask.
inline std::vector<Trial> make_trials(const std::vector<Contender>& all, const model::MaskedLanguageConfig& size,
                                      const Recipe& recipe, const Corpus& corpus, const Saving& saving = {}) {
  std::vector<Trial> trials;
  for (const Contender& contender : all) {
    model::MaskedLanguageConfig config = size;
    const auto of_paper = model::MaskedLanguageConfig::base_size(contender.mask);
    config.mask_type = of_paper.mask_type;
    config.position_embeddings = of_paper.position_embeddings;
    config.layer_norm_after = of_paper.layer_norm_after;
    config.vocab_size = corpus.vocab_size();
    config.max_position_embeddings = recipe.length;
    config.seed = recipe.seed;
    trials.emplace_back(contender.name, config, recipe, corpus);
    const std::filesystem::path path = saving.folder / contender.file;
    if (saving.resume && std::filesystem::exists(path)) trials.back().load(path);
  }
  return trials;
}

/// Trains all models, in turns, saving as they go.
inline TurnTimes train_trials(std::vector<Trial>& trials, const std::vector<Contender>& all, const Recipe& recipe,
                              const Saving& saving, Progress& progress, Executor executor) {
  TurnTimes times;
  train_in_turns(trials, recipe.steps, executor, times, [&](std::size_t i, Index n) {
    const Trial& trial = trials[i];
    progress.advance(
        n, "step " + std::to_string(trial.step()) + "  " + trial.name() + " loss " + format("%.2f", trial.loss()));
    const bool due = trial.step() / saving.every > (trial.step() - n) / saving.every || trial.step() == recipe.steps;
    if (due && !saving.folder.empty()) trial.save(saving.folder / all[i].file);
  });
  return times;
}

/// How each model fills in the held-out chapters.
inline std::vector<Score> score_all(const std::vector<Trial>& trials, const HeldOut& held_out, Executor executor) {
  nn::Scratch scratch;
  std::vector<Score> all;
  for (const Trial& trial : trials) all.push_back(held_out.score(trial.model(), scratch, executor));
  return all;
}

/// Prints how they do with packed weights.
inline void print_packed(const std::vector<Trial>& trials, const std::vector<Score>& plain, const HeldOut& held_out,
                         Executor executor, std::ostream& out) {
  nn::Scratch scratch;
  std::vector<std::string> header{"masked accuracy", "plain"};
  for (const auto& [name, type] : kPackedTypes) header.push_back(name);
  Table table(header);
  for (std::size_t i = 0; i < trials.size(); ++i) {
    std::vector<std::string> row{trials[i].name(), format("%.2f %%", 100 * plain[i].accuracy)};
    for (const auto& [name, type] : kPackedTypes) {
      const Score score = held_out.score(*packed_copy(trials[i].model(), type), scratch, executor);
      row.push_back(format("%.2f %%", 100 * score.accuracy));
    }
    table.add(row);
  }
  table.print(out);
}

/// The model of the greatest accuracy.
inline std::size_t best_of(const std::vector<Score>& scores) {
  const auto less = [](const Score& a, const Score& b) { return a.accuracy < b.accuracy; };
  return static_cast<std::size_t>(std::max_element(scores.begin(), scores.end(), less) - scores.begin());
}

/// Prints the scores of the models, and that of one who knows frequencies alone.
inline void print_standings(const std::vector<Trial>& trials, const std::vector<Score>& scores, const TurnTimes& times,
                            const Score& of_frequencies, std::ostream& out) {
  Table table({"model", "parameters", "masked accuracy", "loss", "time per step"});
  const auto add = [&](const std::string& name, const std::string& parameters, const Score& score,
                       const std::string& time) {
    table.add({name, parameters, format("%.1f %%", 100 * score.accuracy), format("%.2f", score.loss), time});
  };
  for (std::size_t i = 0; i < trials.size(); ++i) {
    add(trials[i].name(), std::to_string(trials[i].model().parameter_count()), scores[i],
        times.per_step.empty() ? "-" : format("×%.2f", times.relative_time(i)));
  }
  add("most frequent token", "", of_frequencies, "");
  table.print(out);
}

}  // namespace lion::examples::novel
