#pragma once
/// model::MaskedLanguage on the GPU, for inference: the same configuration and weights, the same steps in kernels.

#include "lion/model/masked_language.hpp"
#include "lion/nn/cuda/attention.hpp"
#include "lion/nn/cuda/mlp.hpp"
#include "lion/nn/cuda/pool.hpp"
#include "lion/nn/cuda/text_embedding.hpp"

namespace lion::cuda {

/// What nn::PostNormBlock is: x = norm1(x + attention(x)), x = norm2(x + mlp(x)).
template <class T>
struct TextBlock {
  MultiHeadAttention<T, nn::TextAttention> attn;
  LayerNorm<T> norm1;
  Mlp<T> mlp;
  LayerNorm<T> norm2;

  TextBlock(WeightImage<T>& image, const model::MaskedLanguageConfig& config, const std::string& name)
      : attn(image, name + ".attention", config.hidden_size, config.num_attention_heads, config.mask_type, 0, 1,
             config.layer_norm_after),
        norm1(image, name + ".attention.output.LayerNorm", config.layer_norm_eps),
        mlp(image, name + ".intermediate.dense", name + ".output.dense", config.hidden_size),
        norm2(image, name + ".output.LayerNorm", config.layer_norm_eps) {}
};

/// Token ids to logits over the vocabulary, for the tokens asked for, all in memory of the device; Memory, the queue
/// and T as of VisionIn (model/cuda/vision.hpp). All texts of a call are computed at once.
template <class T, class Memory>
class MaskedLanguageIn {
 public:
  using A = accumulator_t<T>;

  /// The weights of `host`, rounded to T and uploaded. Throws ArgumentError for a model with softmax or Hydra's mixers.
  explicit MaskedLanguageIn(const model::MaskedLanguage<float>& host) : config_(supported(host.config())) {
    layers_.emplace(
        upload<T>(host.parameters(), memory_, [&](WeightImage<T>& image) { return Layers(image, config_); }));
    set_form(parse_form(config_.form, config_.chunk_size));
  }

  const model::MaskedLanguageConfig& config() const { return config_; }

  /// The form of every layer from now on.
  void set_form(const form::Any& form) {
    for (TextBlock<T>& block : layers_->blocks) block.attn.set_form(form);
  }

  /// Bytes of workspace that `forward` takes for texts of this shape and so many rows: no value is read.
  std::size_t workspace_size(const model::TextInputs& text, Index rows) const {
    check(text);
    Arena counting;
    Buffers(*this, batch_of(text), rows, counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// logits [R,vocab_size] of the R tokens whose numbers are `rows`. Every address, cu_seqlens and rows included, is of
  /// memory of the device, and no value is checked: ids, types, places and rows must be in range. Starts kernels and
  /// returns; nothing is allocated or waited for. Throws ArgumentError, before anything is started, for shapes that do
  /// not fit.
  template <class Queue>
  void forward(const model::TextInputs& text, std::span<const Index> rows, const View<T, 2>& logits,
               Workspace& workspace, const Queue& queue) const {
    const auto count = static_cast<Index>(rows.size());
    require_shape<2>("masked_language", "logits", logits.shape(), {count, config_.vocab_size});
    require_contiguous_rows("masked_language", "logits", logits);
    const std::size_t size = workspace_size(text, count);
    if (!workspace.borrowed()) {
      throw ArgumentError("masked_language: workspace has memory of its own, expected one over the device's memory");
    }
    workspace.reserve(size);
    Arena arena = workspace.arena();
    const nn::TokenBatch batch = batch_of(text);
    Buffers buffers(*this, batch, count, arena);
    if (batch.tokens() == 0 || count == 0) return;
    const Layers& layers = *layers_;
    layers.embeddings.forward(queue, {text.ids, text.type_ids}, batch, buffers.x);
    for (const TextBlock<T>& block : layers.blocks) {
      block.attn.forward(queue, buffers.x, buffers.y, buffers.x, buffers.wide, buffers.log_lambda, batch,
                         buffers.attention);
      block.norm1.forward(queue, buffers.x, buffers.x);
      block.mlp.forward(queue, buffers.x, buffers.x, buffers.wide);
      block.norm2.forward(queue, buffers.x, buffers.x);
    }
    gather_rows<T>(queue, buffers.x, rows.data(), buffers.hidden);
    layers.dense.forward(queue, buffers.hidden, buffers.transformed);
    gelu(queue, buffers.transformed);
    layers.norm.forward(queue, buffers.transformed, buffers.transformed);
    queue.product(Product<T>{buffers.transformed, layers.embeddings.word(), layers.bias, logits, false});
  }

 private:
  struct Layers {
    TextEmbedding<T> embeddings;
    std::vector<TextBlock<T>> blocks;
    Linear<T> dense;
    LayerNorm<T> norm;
    const T* bias;  // [V]

    Layers(WeightImage<T>& image, const model::MaskedLanguageConfig& config)
        : embeddings(image, "bert.embeddings", config.position_embeddings, config.layer_norm_eps) {
      for (Index i = 0; i < config.num_hidden_layers; ++i) {
        blocks.emplace_back(image, config, "bert.encoder.layer." + std::to_string(i));
      }
      dense = Linear<T>(image, "cls.predictions.transform.dense", config.hidden_size);
      norm = LayerNorm<T>(image, "cls.predictions.transform.LayerNorm", config.layer_norm_eps);
      bias = image.take("cls.predictions.bias");
    }
  };

  struct Buffers {
    View<T, 2> x, y;                 ///< [N,C]
    T* wide;                         ///< N times the wider of 3C and the MLP's width
    View<T, 2> hidden, transformed;  ///< [R,C]
    A* log_lambda;
    Workspace attention;

    Buffers(const MaskedLanguageIn& model, const nn::TokenBatch& batch, Index rows, Arena& arena) {
      const TextBlock<T>& block = model.layers_->blocks.front();
      const Index width = model.config_.hidden_size, tokens = batch.tokens();
      const auto matrix = [&](Index n) { return View<T, 2>(arena.take<T>(n * width), {n, width}); };
      x = matrix(tokens);
      y = matrix(tokens);
      wide = arena.take<T>(tokens * (std::max)(3 * width, block.mlp.hidden()));
      hidden = matrix(rows);
      transformed = matrix(rows);
      log_lambda = arena.take<A>(block.attn.decay_size(batch));
      const std::size_t scratch = block.attn.workspace_size(batch);
      attention = Workspace(arena.take<std::byte>(static_cast<Index>(scratch)), scratch);
    }
  };

  static const model::MaskedLanguageConfig& supported(const model::MaskedLanguageConfig& config) {
    if (config.mask_type == "softmax" || config.mask_type == "hydra") {
      model::detail::bad_config("masked_language", "mask_type", config.mask_type,
                                "linear, decay or selective on a GPU");
    }
    return config;
  }

  static nn::TokenBatch batch_of(const model::TextInputs& text) {
    return {text.ids.extent(0), text.ids.extent(1), {}, text.key_mask, text.cu_seqlens};
  }

  /// Shapes alone.
  void check(const model::TextInputs& text) const {
    constexpr const char* kModel = "masked_language";
    if (!text.ids) throw ArgumentError("masked_language: ids is absent");
    if (text.key_mask) require_shape<2>(kModel, "key_mask", text.key_mask.shape(), text.ids.shape(), " to match ids");
    if (text.type_ids) require_shape<2>(kModel, "type_ids", text.type_ids.shape(), text.ids.shape(), " to match ids");
    if (!text.cu_seqlens.empty()) {
      require_shape<2>(kModel, "ids", text.ids.shape(), {1, -1}, " with cu_seqlens");
    } else if (config_.position_embeddings && text.ids.extent(1) > config_.max_position_embeddings) {
      throw ArgumentError("masked_language: ids has shape " + to_string(text.ids.shape()) + ", expected at most " +
                          std::to_string(config_.max_position_embeddings) + " tokens in a row");
    }
  }

  model::MaskedLanguageConfig config_;
  Memory memory_;
  std::optional<Layers> layers_;
};

}  // namespace lion::cuda
