#pragma once
/// The masked language models of math.md §7 and §9: LION under any mask, BERT, and Hydra, in one skeleton.

#include "lion/model/initial.hpp"
#include "lion/model/text_encoder.hpp"
#include "lion/model/weights.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/prediction_head.hpp"
#include "lion/nn/scratch.hpp"

namespace lion::model {

/// Token ids to logits over the vocabulary, for the tokens asked for, and back. Weights have the names of a Hugging
/// Face BERT state dict; the word embeddings are the decoder's weights too.
///
/// Tokens are asked for by number, in any order: token t of row b is b·L + t. Inference takes five buffers [N,C] of the
/// N tokens of a group (about 512 tokens, or the longest sequence) beside a few values per token, and one [R,C] of the
/// rows asked for. Results are the same bits for any executor.
template <Real S>
class MaskedLanguage : public Weights<S, MaskedLanguage<S>> {
 public:
  /// With initial weights, if they are to be drawn, from config.seed: truncated normal of deviation 0.02, decays spread
  /// over the heads, biases 0. Throws ArgumentError if the configuration is wrong.
  explicit MaskedLanguage(const MaskedLanguageConfig& config, Initial initial = Initial::drawn)
      : config_((config.check(), config)),
        encoder_(config),
        head_("cls.predictions", config.vocab_size, config.hidden_size, config.layer_norm_eps) {
    if (initial == Initial::zero) return;
    const nn::PlacedRandom random(config.seed, 0);
    encoder_.initialise(random.stream(0));
    head_.initialise(random.stream(1));
  }

  const MaskedLanguageConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) { encoder_.set_form(form); }

  /// Bytes of Scratch::activations that `forward` takes for these texts and so many rows.
  std::size_t activation_bytes(const TextInputs& text, Index rows) const {
    Arena counting;
    Layout(*this, rows, counting);
    encoder_.lay_out(text, counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// Bytes of Scratch::attention that `forward` takes: the operator's scratch, by form.
  std::size_t attention_bytes(const TextInputs& text, const Executor& executor = {}) const {
    return encoder_.workspace_size(text, executor);
  }

  /// logits [R,vocab_size] of the R tokens whose numbers are `rows`. Allocates nothing once the scratch has grown to
  /// the size. Throws ArgumentError, before anything is written, for texts, rows or logits that do not fit.
  void forward(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& logits, nn::Scratch& scratch,
               Executor executor = {}) const {
    check(text, rows, logits);
    const auto count = static_cast<Index>(rows.size());
    scratch.activations.reserve(activation_bytes(text, count));
    Arena arena = scratch.activations.arena();
    const Layout layout(*this, count, arena);
    encoder_.forward(text, rows, layout.hidden, arena, scratch.attention, executor);
    head_.forward(layout.hidden, encoder_.embeddings.word, logits, layout.transformed, executor);
  }

  /// The same with the model's own scratch: for one thread at a time.
  void forward(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& logits, Executor executor = {}) {
    forward(text, rows, logits, scratch_, executor);
  }

  /// The model's own scratch.
  const nn::Scratch& scratch() const { return scratch_; }

  /// logits as `forward`'s, but with dropout as configured (drawn from `seed`), for all texts at once, keeping what
  /// `backward` needs: text and rows are not looked at again.
  void forward_train(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& logits,
                     Executor executor = {}, std::uint64_t seed = 0) {
    check(text, rows, logits);
    require_tokens("masked_language", text);
    this->make_grad();
    const auto count = static_cast<Index>(rows.size());
    ready_ = false;
    tape_.reset();
    Arena counting;
    typename nn::PredictionHead<S>::Tape(head_, count, counting);
    tape_memory_.reserve(counting.used() + kAlignment);
    Arena arena = tape_memory_.arena();
    tape_.emplace(head_, count, arena);
    encoder_.forward_train(text, rows, tape_->h, seed, scratch_.attention, executor);
    head_.forward_train(*tape_, encoder_.embeddings.word, logits, executor);
    ready_ = true;
  }

  /// Adds to every weight's `grad` the gradient of the last `forward_train`, given dlogits [R,vocab_size]. Once per
  /// forward_train. Throws ArgumentError if there was none.
  void backward(const View<const S, 2>& dlogits, Executor executor = {}) {
    if (!ready_) throw ArgumentError("masked_language: backward was called without a forward_train before it");
    require_shape<2>("masked_language", "dlogits", dlogits.shape(), {tape_->h.extent(0), config_.vocab_size});
    require_contiguous_rows("masked_language", "dlogits", dlogits);
    ready_ = false;
    head_.backward(dlogits, *tape_, encoder_.embeddings.word, executor);
    encoder_.backward(tape_->dh, scratch_.attention, executor);
  }

  /// Bytes that training steps so far hold: activations, and the scratch of attention.
  std::size_t training_bytes() const {
    return tape_memory_.size() + encoder_.training_bytes() + scratch_.attention.size();
  }

  template <class F>
  void for_each_parameter(F&& f) {
    encoder_.for_each_parameter(f);
    head_.for_each_parameter(f);
  }

 private:
  /// Memory of inference beside the encoder's.
  struct Layout {
    View<S, 2> hidden;  ///< [R,C]
    S* transformed;     ///< PredictionHead::block(R)·C elements

    Layout(const MaskedLanguage& model, Index rows, Arena& arena) {
      const Index width = model.config_.hidden_size;
      hidden = nn::take_matrix<S>(arena, rows, width);
      transformed = arena.take<S>(nn::PredictionHead<S>::block(rows) * width);
    }
  };

  void check(const TextInputs& text, std::span<const Index> rows, const View<S, 2>& logits) const {
    encoder_.check("masked_language", text, rows);
    require_shape<2>("masked_language", "logits", logits.shape(),
                     {static_cast<Index>(rows.size()), config_.vocab_size});
    require_contiguous_rows("masked_language", "logits", logits);
  }

  MaskedLanguageConfig config_;
  TextEncoder<S> encoder_;
  nn::PredictionHead<S> head_;

  nn::Scratch scratch_;
  Workspace tape_memory_;
  std::optional<typename nn::PredictionHead<S>::Tape> tape_;
  bool ready_ = false;  // the tape is whole and has not been used: neither pass was left by an exception
};

}  // namespace lion::model
