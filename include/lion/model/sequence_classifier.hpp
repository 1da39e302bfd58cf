#pragma once
/// A text encoder fine-tuned to classify sequences: BERT's pooler and classifier over the first token.

#include "lion/model/initial.hpp"
#include "lion/model/text_encoder.hpp"
#include "lion/model/weights.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/scratch.hpp"

namespace lion::model {

/// The encoder, and what is put on it.
struct SequenceClassifierConfig {
  MaskedLanguageConfig encoder;
  Index num_labels = 2;           ///< 1: regression
  double classifier_dropout = 0;  ///< in training: before the classifier

  void check() const {
    encoder.check();
    detail::require_positive("sequence_classifier", "num_labels", num_labels);
    detail::require_rate("sequence_classifier", "classifier_dropout", classifier_dropout);
  }

  /// f(key, member, required) for each key beside the encoder's.
  template <class Config, class F>
  static void for_each_key(Config& config, F&& f) {
    f("num_labels", config.num_labels, false);
    f("classifier_dropout", config.classifier_dropout, false);
  }
};

/// The configuration that a file's metadata describes, be it a classifier's or a masked language model's: then that of
/// a new classifier on its encoder. Errors as masked_language_config_from's.
inline SequenceClassifierConfig sequence_classifier_config_from(Metadata metadata) {
  if (metadata["kind"] == "sequence_classifier" || metadata["kind"].empty()) metadata["kind"] = "mlm";
  SequenceClassifierConfig config{masked_language_config_from(metadata)};
  detail::read_config("sequence_classifier", metadata, config);
  config.check();
  return config;
}

/// The metadata of a model's file; `sequence_classifier_config_from` reads it back.
inline Metadata to_metadata(const SequenceClassifierConfig& config) {
  Metadata metadata = to_metadata(config.encoder);
  metadata["kind"] = "sequence_classifier";
  detail::write_config(config, metadata);
  return metadata;
}

/// logits = classifier(dropout(tanh(pooler(h)))) of the last hidden state h of each sequence's first token ([CLS]), one
/// row per sequence, and back. Weights have the names of a Hugging Face BERT state dict: the encoder's,
/// bert.pooler.dense and classifier. Memory and threads as MaskedLanguage's.
template <Real S>
class SequenceClassifier : public Weights<S, SequenceClassifier<S>> {
 public:
  /// With initial weights, if they are to be drawn, from config.encoder.seed. Throws ArgumentError if the configuration
  /// is wrong.
  explicit SequenceClassifier(const SequenceClassifierConfig& config, Initial initial = Initial::drawn)
      : config_((config.check(), config)),
        encoder_(config.encoder),
        pooler_("bert.pooler.dense", config.encoder.hidden_size, config.encoder.hidden_size),
        classifier_("classifier", config.encoder.hidden_size, config.num_labels) {
    if (initial == Initial::zero) return;
    const nn::PlacedRandom random(config.encoder.seed, 0);
    encoder_.initialise(random.stream(0));
    pooler_.initialise(random.stream(2));
    classifier_.initialise(random.stream(3));
  }

  const SequenceClassifierConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) { encoder_.set_form(form); }

  /// Bytes of Scratch::activations that `forward` takes for these texts.
  std::size_t activation_bytes(const TextInputs& text) const {
    Arena counting;
    Layout(*this, text, counting);
    encoder_.lay_out(text, counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// Bytes of Scratch::attention that `forward` takes: the operator's scratch, by form.
  std::size_t attention_bytes(const TextInputs& text, const Executor& executor = {}) const {
    return encoder_.workspace_size(text, executor);
  }

  /// logits [sequences,num_labels]. Allocates nothing once the scratch has grown to the size. Throws ArgumentError,
  /// before anything is written, for texts or logits that do not fit, and for sequences without a token.
  void forward(const TextInputs& text, const View<S, 2>& logits, nn::Scratch& scratch, Executor executor = {}) const {
    check(text, logits);
    scratch.activations.reserve(activation_bytes(text));
    Arena arena = scratch.activations.arena();
    const Layout layout(*this, text, arena);
    layout.fill(text);
    encoder_.forward(text, layout.rows, layout.hidden, arena, scratch.attention, executor);
    pool(layout.hidden, layout.pooled, executor);
    classifier_.forward(layout.pooled, logits, executor);
  }

  /// The same with the model's own scratch: for one thread at a time.
  void forward(const TextInputs& text, const View<S, 2>& logits, Executor executor = {}) {
    forward(text, logits, scratch_, executor);
  }

  /// logits as `forward`'s, but with dropout as configured (drawn from `seed`), for all texts at once, keeping what
  /// `backward` needs: the texts are not looked at again.
  void forward_train(const TextInputs& text, const View<S, 2>& logits, Executor executor = {}, std::uint64_t seed = 0) {
    check(text, logits);
    require_tokens("sequence_classifier", text);
    this->make_grad();
    ready_ = false;
    Arena counting;
    Tape(*this, text, counting);
    tape_.reset();
    tape_memory_.reserve(counting.used() + kAlignment);
    Arena arena = tape_memory_.arena();
    tape_.emplace(*this, text, arena);
    tape_->fill(text);
    random_ = nn::PlacedRandom(seed, 1);
    encoder_.forward_train(text, tape_->rows, tape_->hidden, seed, scratch_.attention, executor);
    pool(tape_->hidden, tape_->pooled, executor);
    nn::copy<S>(tape_->pooled, tape_->dropped, executor);
    nn::dropout(tape_->dropped, config_.classifier_dropout, random_, executor);
    classifier_.forward(tape_->dropped, logits, executor);
    ready_ = true;
  }

  /// Adds to every weight's `grad` the gradient of the last `forward_train`, given dlogits [sequences,num_labels]. Once
  /// per forward_train. Throws ArgumentError if there was none.
  void backward(const View<const S, 2>& dlogits, Executor executor = {}) {
    if (!ready_) throw ArgumentError("sequence_classifier: backward was called without a forward_train before it");
    const Tape& tape = *tape_;
    require_shape<2>("sequence_classifier", "dlogits", dlogits.shape(), {tape.pooled.extent(0), config_.num_labels});
    require_contiguous_rows("sequence_classifier", "dlogits", dlogits);
    ready_ = false;
    classifier_.backward_weights(dlogits, tape.dropped, executor);
    const View<S, 2>& d = tape.dropped;  // its gradient takes its place
    classifier_.backward_input(dlogits, d, executor);
    nn::dropout(d, config_.classifier_dropout, random_, executor);
    nn::detail::for_each_rows(
        executor, [](auto&& to, auto&& pooled) { to *= S(1) - pooled.square(); }, d, tape.pooled);
    pooler_.backward_weights(d, tape.hidden, executor);
    pooler_.backward_input(d, tape.dhidden, executor);
    encoder_.backward(tape.dhidden, scratch_.attention, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    encoder_.for_each_parameter(f);
    pooler_.for_each_parameter(f);
    classifier_.for_each_parameter(f);
  }

 private:
  /// Memory of inference beside the encoder's.
  struct Layout {
    std::span<Index> rows;      ///< numbers of the first tokens
    View<S, 2> hidden, pooled;  ///< [sequences,C]

    Layout(const SequenceClassifier& model, const TextInputs& text, Arena& arena) {
      const Index sequences = text.sequences(), width = model.encoder_.width();
      rows = {arena.take<Index>(sequences), static_cast<std::size_t>(sequences)};
      for (View<S, 2>* view : {&hidden, &pooled}) *view = nn::take_matrix<S>(arena, sequences, width);
    }

    void fill(const TextInputs& text) const {
      for (std::size_t s = 0; s < rows.size(); ++s) rows[s] = text.first(static_cast<Index>(s));
    }
  };

  /// What a training step keeps beside the encoder's tape.
  struct Tape : Layout {
    View<S, 2> dropped, dhidden;  ///< [sequences,C]

    Tape(const SequenceClassifier& model, const TextInputs& text, Arena& arena) : Layout(model, text, arena) {
      for (View<S, 2>* view : {&dropped, &dhidden}) {
        *view = nn::take_matrix<S>(arena, text.sequences(), model.encoder_.width());
      }
    }
  };

  void check(const TextInputs& text, const View<S, 2>& logits) const {
    encoder_.check("sequence_classifier", text, {});
    for (Index s = 0; s < text.sequences(); ++s) {
      if (text.length(s) > 0) continue;
      throw ArgumentError("sequence_classifier: sequence " + std::to_string(s) + " has 0 tokens, expected at least 1");
    }
    require_shape<2>("sequence_classifier", "logits", logits.shape(), {text.sequences(), config_.num_labels});
    require_contiguous_rows("sequence_classifier", "logits", logits);
  }

  void pool(const View<const S, 2>& hidden, const View<S, 2>& pooled, const Executor& executor) const {
    pooler_.forward(hidden, pooled, executor);
    nn::detail::for_each_rows(
        executor, [](auto&& x) { x = x.tanh(); }, pooled);
  }

  SequenceClassifierConfig config_;
  TextEncoder<S> encoder_;
  nn::Linear<S> pooler_, classifier_;

  nn::Scratch scratch_;
  Workspace tape_memory_;
  std::optional<Tape> tape_;
  bool ready_ = false;  // the tape is whole and has not been used: neither pass was left by an exception
  nn::PlacedRandom random_{0, 1};
};

}  // namespace lion::model
