#pragma once
/// model::TextEncoder on the GPU: embeddings and blocks, which every text model shares.

#include <string>
#include <vector>

#include "lion/model/cuda/block_tapes.hpp"
#include "lion/model/cuda/text_block.hpp"
#include "lion/model/text_batch.hpp"
#include "lion/nn/cuda/text_embedding.hpp"

namespace lion::cuda {

/// All texts of a call are computed at once.
template <class T>
class TextEncoder {
 public:
  using A = accumulator_t<T>;

  template <class Image>
  TextEncoder(Image& image, const model::MaskedLanguageConfig& config)
      : embeddings_(image, "bert.embeddings", config.position_embeddings, config.layer_norm_eps),
        width_(config.hidden_size),
        longest_(config.position_embeddings ? config.max_position_embeddings : 0) {
    for (Index i = 0; i < config.num_hidden_layers; ++i) {
      blocks_.emplace_back(image, config, "bert.encoder.layer." + std::to_string(i));
    }
    set_form(parse_form(config.form, config.chunk_size));
  }

  /// The configuration itself. Throws ArgumentError, in the name of `operation`, for one that a GPU does not compute.
  static const model::MaskedLanguageConfig& supported(const char* operation,
                                                      const model::MaskedLanguageConfig& config) {
    if (config.mask_type == "hydra") {
      model::detail::bad_config(operation, "mask_type", config.mask_type,
                                "softmax, linear, decay or selective on a GPU");
    }
    return config;
  }

  void set_form(const form::Any& form) {
    for (TextBlock<T>& block : blocks_) block.attn.set_form(form);
  }

  Index width() const { return width_; }
  /// [V,C]: the weights of the word embeddings.
  const T* word() const { return embeddings_.word(); }

  /// Throws ArgumentError, in the name of `operation`, for shapes that do not fit; no value is read.
  void check(const char* operation, const model::TextInputs& text) const {
    if (!text.ids) throw ArgumentError(std::string(operation) + ": ids is absent");
    const Shape<2>& shape = text.ids.shape();
    if (text.key_mask) require_shape<2>(operation, "key_mask", text.key_mask.shape(), shape, " to match ids");
    if (text.type_ids) require_shape<2>(operation, "type_ids", text.type_ids.shape(), shape, " to match ids");
    if (!text.cu_seqlens.empty()) {
      require_shape<2>(operation, "ids", shape, {1, -1}, " with cu_seqlens");
    } else if (longest_ > 0 && shape[1] > longest_) {
      throw ArgumentError(std::string(operation) + ": ids has shape " + to_string(shape) + ", expected at most " +
                          std::to_string(longest_) + " tokens in a row");
    }
  }

  /// Memory of a call; N tokens.
  struct Buffers {
    View<T, 2> x, y;  ///< [N,C]
    T* wide;          ///< N times the wider of 3C and the MLP's width
    A* log_lambda;
    Workspace attention;

    Buffers(const TextEncoder& encoder, const model::TextInputs& text, Arena& arena) {
      const TextBlock<T>& block = encoder.blocks_.front();
      const nn::TokenBatch batch = batch_of(text);
      const Index width = encoder.width_, tokens = batch.tokens();
      for (View<T, 2>* view : {&x, &y}) *view = View<T, 2>(arena.take<T>(tokens * width), {tokens, width});
      wide = arena.take<T>(tokens * (std::max)(3 * width, block.mlp.hidden()));
      log_lambda = arena.take<A>(block.attn.decay_size(batch));
      const std::size_t scratch = block.attn.workspace_size(batch);
      attention = Workspace(arena.take<std::byte>(static_cast<Index>(scratch)), scratch);
    }
  };

  /// buffers.x [N,C] becomes the last hidden states of all tokens.
  template <class Queue>
  void forward(const Queue& queue, const model::TextInputs& text, Buffers& buffers) const {
    const nn::TokenBatch batch = batch_of(text);
    const View<T, 2>& x = buffers.x;
    embeddings_.forward(queue, ids_of(text), batch, x);
    for (const TextBlock<T>& block : blocks_) {
      block.attn.forward(queue, x, buffers.y, x, buffers.wide, buffers.log_lambda, batch, buffers.attention);
      block.norm1.forward(queue, x, x);
      block.mlp.forward(queue, x, x, buffers.wide);
      block.norm2.forward(queue, x, x);
    }
  }

  /// Memory of a training step; N tokens. `sums_size`: elements of sums that layers outside the encoder need.
  struct Tape {
    nn::TokenBatch batch;
    A* statistics;  ///< [N,2] of the embeddings' norm
    BlockTapes<TextBlock<T>, TextBlockTape<T>> blocks;
    TextBlockScratch<T> scratch;
    View<T, 2> x, dx;  ///< [N,C] after the last block, and the gradient that travels back

    Tape(const TextEncoder& encoder, const model::TextInputs& text, Index sums_size, Arena& arena)
        : batch(batch_of(text)),
          statistics(arena.take<A>(2 * batch.tokens())),
          blocks(encoder.blocks_, batch, arena),
          scratch(encoder.blocks_.front(), batch, sums_size, arena),
          x(take_rows<T>(arena, batch, encoder.width_)),
          dx(take_rows<T>(arena, batch, encoder.width_)) {}
  };

  /// tape.x [N,C] becomes the last hidden states of all tokens.
  template <class Queue>
  void forward_train(const Queue& queue, const model::TextInputs& text, Tape& tape) const {
    embeddings_.forward(queue, ids_of(text), tape.batch, tape.blocks[0].x, tape.statistics);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const View<T, 2> out = i + 1 < blocks_.size() ? tape.blocks[i + 1].x : tape.x;
      blocks_[i].forward_train(queue, out, tape.blocks[i], tape.scratch, tape.batch);
    }
  }

  /// Adds to the weights' gradients, given tape.dx, which is overwritten, and the text as forward_train had it.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const model::TextInputs& text, Tape& tape) const {
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      blocks_[i].backward(queue, weights, tape.dx, tape.blocks[i], tape.scratch, tape.batch);
    }
    embeddings_.backward(queue, weights, ids_of(text), tape.batch, tape.dx, tape.statistics, tape.x, tape.scratch.sums);
  }

 private:
  static nn::TokenIds ids_of(const model::TextInputs& text) { return {text.ids, text.type_ids}; }

  static nn::TokenBatch batch_of(const model::TextInputs& text) {
    return {text.ids.extent(0), text.ids.extent(1), {}, text.key_mask, text.cu_seqlens};
  }

  TextEmbedding<T> embeddings_;
  std::vector<TextBlock<T>> blocks_;
  Index width_, longest_;  // longest_: tokens of a text, 0 without position embeddings
};

}  // namespace lion::cuda
