#pragma once
/// One masked language model in training.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lion/io/checkpoint.hpp"
#include "lion/model/masked_language.hpp"
#include "lion/train/train.hpp"
#include "novel/corpus.hpp"

namespace lion::examples::novel {

/// What is the same for all models.
struct Recipe {
  Index vocab_size = 2000;
  Index steps = 2400;
  Index batch = 8;    ///< sequences of a step
  Index length = 64;  ///< tokens of a sequence, [CLS] and [SEP] included
  Index test_sequences = 1000000;
  double learning_rate = 1e-3;  ///< at its peak
  double clip = 1;              ///< of the gradients' norm
  std::uint64_t seed = 0;
};

/// A model that learns the novel within minutes.
inline model::MaskedLanguageConfig novel_size() {
  model::MaskedLanguageConfig config;
  config.hidden_size = 128;
  config.num_attention_heads = 4;
  config.num_hidden_layers = 2;
  config.intermediate_size = 256;
  return config;
}

/// A recipe and a size for a look, in seconds: models that learn next to nothing.
inline Recipe quick_recipe() {
  return {.vocab_size = 500, .steps = 12, .batch = 4, .length = 32, .test_sequences = 20};
}
inline model::MaskedLanguageConfig quick_size() {
  model::MaskedLanguageConfig config = novel_size();
  config.hidden_size = 32;
  config.intermediate_size = 64;
  return config;
}

/// How well a model fills in held-out text.
struct Score {
  double accuracy = 0;  ///< of the tokens asked for, those that were given the largest logit
  double loss = 0;      ///< mean cross-entropy, nats
};

/// The held-out chapters with 15 % of their tokens masked, the same ones for every model.
class HeldOut {
 public:
  HeldOut(const Corpus& corpus, const Recipe& recipe) {
    constexpr Index kAtOnce = 32;
    std::vector<train::Piece> pieces = train::cut_documents(corpus.test, recipe.length - corpus.format().extra());
    pieces.resize((std::min)(pieces.size(), static_cast<std::size_t>(recipe.test_sequences)));
    const train::Masking masking = corpus.masking(0.15, kSeed);
    for (std::size_t first = 0; first < pieces.size(); first += kAtOnce) {
      const auto some = std::span(pieces).subspan(first, (std::min)(pieces.size() - first, std::size_t{kAtOnce}));
      train::TextBatch batch = train::padded_batch(corpus.test, some, corpus.format());
      train::LabelledTokens labelled = masking.mask(batch, 0);
      labels_ += static_cast<Index>(labelled.labels.size());
      if (!labelled.labels.empty()) parts_.push_back({std::move(batch), std::move(labelled)});
    }
  }

  /// Tokens asked for.
  Index size() const { return labels_; }

  Score score(const model::MaskedLanguage<float>& model, nn::Scratch& scratch, Executor executor) const {
    Score score;
    Index right = 0;
    for (const auto& [batch, labelled] : parts_) {
      Tensor<float, 2> logits({static_cast<Index>(labelled.rows.size()), model.config().vocab_size});
      model.forward(batch.inputs(), labelled.rows, logits.view(), scratch, executor);
      score.loss += train::cross_entropy<float>(logits.view(), labelled.labels, {}, 0, executor, labels_);
      right += train::count_correct<float>(std::as_const(logits).view(), labelled.labels);
    }
    score.accuracy = static_cast<double>(right) / static_cast<double>(labels_);
    return score;
  }

  /// Of one who knows how often each token comes in the text to train on, and nothing else.
  Score score_of_frequencies(const Corpus& corpus) const {
    std::vector<double> counts(static_cast<std::size_t>(corpus.vocab_size()), 1);  // none is impossible
    for (const Index id : corpus.train.ids) ++counts[static_cast<std::size_t>(id)];
    double total = 0;
    for (const double n : counts) total += n;
    const Index most = std::max_element(counts.begin(), counts.end()) - counts.begin();
    Score score;
    for (const auto& [batch, labelled] : parts_) {
      for (const Index label : labelled.labels) {
        score.accuracy += label == most;
        score.loss -= std::log(counts[static_cast<std::size_t>(label)] / total);
      }
    }
    score.accuracy /= static_cast<double>(labels_);
    score.loss /= static_cast<double>(labels_);
    return score;
  }

 private:
  static constexpr std::uint64_t kSeed = 0x7e57;  // whatever the seed of training

  struct Part {
    train::TextBatch batch;
    train::LabelledTokens labelled;
  };
  std::vector<Part> parts_;
  Index labels_ = 0;
};

/// A model, its optimiser, and where it is in the data. A step sees stretches of the text that begin anywhere; which
/// ones, and what of them is masked, depends on the seed and the step alone.
class Trial {
 public:
  Trial(std::string name, const model::MaskedLanguageConfig& config, const Recipe& recipe, const Corpus& corpus)
      : name_(std::move(name)),
        model_(std::make_unique<model::MaskedLanguage<float>>(config)),
        recipe_(recipe),
        corpus_(corpus),
        masking_(corpus.masking(0.3, recipe.seed)),
        schedule_(train::ScheduleOptions::masked_language(recipe.learning_rate, recipe.steps)),
        parameters_(model_->parameters()),
        optimiser_(parameters_, train::AdamWOptions::masked_language(recipe.learning_rate)) {}

  const std::string& name() const { return name_; }
  const model::MaskedLanguage<float>& model() const { return *model_; }
  Index step() const { return optimiser_.state().steps; }
  double loss() const { return loss_; }

  /// The next `n` steps; returns the seconds they took.
  double train(Index n, Executor executor) {
    const auto start = std::chrono::steady_clock::now();
    for (const Index end = step() + n; step() < end;) {
      const Index t = step();
      train::TextBatch batch = draw(t);
      const train::LabelledTokens labelled = masking_.mask(batch, t);
      model_->zero_grad();
      if (!labelled.rows.empty()) {
        const Shape<2> shape{static_cast<Index>(labelled.rows.size()), model_->config().vocab_size};
        Tensor<float, 2> logits(shape), dlogits(shape);
        model_->forward_train(batch.inputs(), labelled.rows, logits.view(), executor, static_cast<std::uint64_t>(t));
        loss_ = train::cross_entropy<float>(logits.view(), labelled.labels, dlogits.view(), 0, executor);
        model_->backward(dlogits.view(), executor);
        train::clip_grad_norm<float>(parameters_, recipe_.clip);
      }
      optimiser_.step(schedule_(t), executor);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// Everything the run depends on.
  io::Metadata settings() const {
    io::Checksum text;
    for (const train::TokenDocuments* part : {&corpus_.train, &corpus_.test})
      text.add(std::as_bytes(std::span(part->ids)));
    io::Metadata settings = model::to_metadata(model_->config());
    settings["text"] = text.text();
    settings["train_steps"] = std::to_string(recipe_.steps);
    settings["train_batch"] = std::to_string(recipe_.batch);
    settings["train_length"] = std::to_string(recipe_.length);
    settings["train_seed"] = std::to_string(recipe_.seed);
    return settings;
  }

  void save(const std::filesystem::path& path) const {
    io::save_checkpoint(path, *model_, optimiser_, {.settings = settings()});
  }
  void load(const std::filesystem::path& path) { io::load_checkpoint(path, *model_, optimiser_, settings()); }

 private:
  train::TextBatch draw(Index step) const {
    constexpr std::uint64_t kApart = std::uint64_t{1} << 32;  // from the seed of the masking
    train::Random random(recipe_.seed + kApart, static_cast<std::uint64_t>(step));
    const Index length = recipe_.length - corpus_.format().extra();
    std::vector<train::Piece> pieces;
    for (Index b = 0; b < recipe_.batch; ++b) {
      const Index first = random.below(corpus_.train.tokens() - length + 1);
      pieces.push_back({first, first + length});
    }
    return train::padded_batch(corpus_.train, pieces, corpus_.format());
  }

  std::string name_;
  std::unique_ptr<model::MaskedLanguage<float>> model_;
  Recipe recipe_;
  const Corpus& corpus_;
  train::Masking masking_;
  train::Linear schedule_;
  std::vector<nn::Parameter<float>*> parameters_;
  train::AdamW<float> optimiser_;
  double loss_ = 0;
};

}  // namespace lion::examples::novel
