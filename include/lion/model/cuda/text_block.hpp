#pragma once
/// A block of the text models on the GPU, for inference and for training.

#include <algorithm>
#include <string>

#include "lion/model/masked_language_config.hpp"
#include "lion/nn/cuda/attention.hpp"
#include "lion/nn/cuda/mlp.hpp"

namespace lion::cuda {

/// What a block keeps of a training step; N tokens.
template <class T>
struct TextBlockTape {
  using A = accumulator_t<T>;

  View<T, 2> x;  ///< [N,C] the block's input
  AttentionTape<T> attn;
  View<T, 2> sum1;         ///< [N,C] before norm1
  A* statistics1;          ///< [N,2]
  View<T, 2> activations;  ///< [N,M] before the activation
  View<T, 2> sum2;         ///< [N,C] before norm2
  A* statistics2;          ///< [N,2]

  template <class Block>
  TextBlockTape(const Block& block, const nn::TokenBatch& batch, Arena& arena)
      : x(take_rows<T>(arena, batch, block.attn.width())),
        attn(block.attn, batch, arena),
        sum1(take_rows<T>(arena, batch, block.attn.width())),
        statistics1(arena.take<A>(2 * batch.tokens())),
        activations(take_rows<T>(arena, batch, block.mlp.hidden())),
        sum2(take_rows<T>(arena, batch, block.attn.width())),
        statistics2(arena.take<A>(2 * batch.tokens())) {}
};

/// Memory that the blocks of a model share in training.
template <class T>
struct TextBlockScratch {
  View<T, 2> between, dsum;       ///< [N,C] after norm1; the gradient of a sum
  View<T, 2> activated, dhidden;  ///< [N,M]
  AttentionScratch<T> attn;
  accumulator_t<T>* sums;  ///< backward_scratch elements

  template <class Block>
  TextBlockScratch(const Block& block, const nn::TokenBatch& batch, Index sums_size, Arena& arena)
      : between(take_rows<T>(arena, batch, block.attn.width())),
        dsum(take_rows<T>(arena, batch, block.attn.width())),
        activated(take_rows<T>(arena, batch, block.mlp.hidden())),
        dhidden(take_rows<T>(arena, batch, block.mlp.hidden())),
        attn(block.attn, batch, arena),
        sums(arena.take<accumulator_t<T>>((std::max)(sums_size, block.backward_scratch(batch.tokens())))) {}
};

/// What nn::PostNormBlock is: x = norm1(x + attention(x)), x = norm2(x + mlp(x)).
template <class T>
struct TextBlock {
  MultiHeadAttention<T, nn::TextAttention> attn;
  LayerNorm<T> norm1;
  Mlp<T> mlp;
  LayerNorm<T> norm2;

  template <class Image>
  TextBlock(Image& image, const model::MaskedLanguageConfig& config, const std::string& name)
      : attn(image, name + ".attention", config.hidden_size, config.num_attention_heads, config.mask_type, 0, 1,
             config.layer_norm_after),
        norm1(image, name + ".attention.output.LayerNorm", config.layer_norm_eps),
        mlp(image, name + ".intermediate.dense", name + ".output.dense", config.hidden_size),
        norm2(image, name + ".output.LayerNorm", config.layer_norm_eps) {}

  /// out [N,C] from tape.x.
  template <class Queue>
  void forward_train(const Queue& queue, const View<T, 2>& out, const TextBlockTape<T>& tape,
                     TextBlockScratch<T>& scratch, const nn::TokenBatch& batch) const {
    attn.forward_train(queue, tape.x, tape.x, tape.sum1, tape.attn, batch, scratch.attn.workspace);
    norm1.forward(queue, tape.sum1, scratch.between, tape.statistics1);
    mlp.forward_train(queue, scratch.between, scratch.between, tape.sum2, tape.activations, scratch.activated);
    norm2.forward(queue, tape.sum2, out, tape.statistics2);
  }

  /// dx [N,C], the gradient of the output, becomes that of the input; the weights' gradients are added.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<T, 2>& dx,
                const TextBlockTape<T>& tape, TextBlockScratch<T>& scratch, const nn::TokenBatch& batch) const {
    norm2.backward(queue, weights, dx, tape.sum2, tape.statistics2, scratch.dsum, scratch.sums, false);
    norm1.forward(queue, tape.sum1, scratch.between);
    mlp.backward(queue, weights, scratch.dsum, scratch.between, tape.activations, scratch.activated, scratch.dhidden,
                 dx, scratch.sums, scratch.dsum);
    norm1.backward(queue, weights, dx, tape.sum1, tape.statistics1, scratch.dsum, scratch.sums, false);
    attn.backward(queue, weights, scratch.dsum, tape.x, tape.attn, scratch.attn, dx, batch, scratch.sums, scratch.dsum);
  }

  /// Elements of TextBlockScratch::sums.
  Index backward_scratch(Index tokens) const {
    return (std::max)({mlp.backward_scratch(tokens), attn.backward_scratch(tokens),
                       LayerNorm<T>::backward_scratch(tokens, attn.width())});
  }
};

}  // namespace lion::cuda
