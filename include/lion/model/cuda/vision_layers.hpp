#pragma once
/// The layers of a vision model on the GPU, for inference and for training.

#include <string>
#include <vector>

#include "lion/model/vision_config.hpp"
#include "lion/nn/cuda/attention.hpp"
#include "lion/nn/cuda/mlp.hpp"
#include "lion/nn/cuda/patches.hpp"

namespace lion::cuda {

/// What a block keeps of a training step; N = B·L tokens.
template <class T>
struct VisionBlockTape {
  using A = accumulator_t<T>;

  View<T, 2> x;    ///< [N,C] the block's input
  A* statistics1;  ///< [N,2] of norm1
  AttentionTape<T> attn;
  View<T, 2> between;      ///< [N,C] after attention
  A* statistics2;          ///< [N,2] of norm2
  View<T, 2> activations;  ///< [N,M] before the activation

  template <class Block>
  VisionBlockTape(const Block& block, const nn::TokenBatch& batch, Arena& arena)
      : x(take_rows<T>(arena, batch, block.attn.width())),
        statistics1(arena.take<A>(2 * batch.tokens())),
        attn(block.attn, batch, arena),
        between(take_rows<T>(arena, batch, block.attn.width())),
        statistics2(arena.take<A>(2 * batch.tokens())),
        activations(take_rows<T>(arena, batch, block.mlp.hidden())) {}
};

/// Memory that the blocks of a model share in training.
template <class T>
struct VisionBlockScratch {
  View<T, 2> z, dz;               ///< [N,C]
  View<T, 2> activated, dhidden;  ///< [N,M]
  AttentionScratch<T> attn;
  accumulator_t<T>* sums;  ///< backward_scratch elements

  template <class Block>
  VisionBlockScratch(const Block& block, const nn::TokenBatch& batch, Index sums_size, Arena& arena)
      : z(take_rows<T>(arena, batch, block.attn.width())),
        dz(take_rows<T>(arena, batch, block.attn.width())),
        activated(take_rows<T>(arena, batch, block.mlp.hidden())),
        dhidden(take_rows<T>(arena, batch, block.mlp.hidden())),
        attn(block.attn, batch, arena),
        sums(arena.take<accumulator_t<T>>((std::max)(sums_size, block.backward_scratch(batch.tokens())))) {}
};

/// What nn::Block is around attention: x += attention(norm1(x)), x += mlp(norm2(x)).
template <class T>
struct VisionBlock {
  LayerNorm<T> norm1;
  MultiHeadAttention<T, nn::VisionAttention> attn;
  LayerNorm<T> norm2;
  Mlp<T> mlp;

  template <class Image>
  VisionBlock(Image& image, const model::VisionConfig& config, const std::string& name)
      : norm1(image, name + ".norm1"),
        attn(image, name + ".attn", config.embed_dim, config.num_heads, config.mask_type, config.prefix(),
             config.orders()),
        norm2(image, name + ".norm2"),
        mlp(image, name + ".mlp.fc1", name + ".mlp.fc2", config.embed_dim) {}

  /// out [N,C] from tape.x.
  template <class Queue>
  void forward_train(const Queue& queue, const View<T, 2>& out, const VisionBlockTape<T>& tape,
                     VisionBlockScratch<T>& scratch, const nn::TokenBatch& batch) const {
    norm1.forward(queue, tape.x, scratch.z, tape.statistics1);
    attn.forward_train(queue, scratch.z, tape.x, tape.between, tape.attn, batch, scratch.attn.workspace);
    norm2.forward(queue, tape.between, scratch.z, tape.statistics2);
    mlp.forward_train(queue, scratch.z, tape.between, out, tape.activations, scratch.activated);
  }

  /// dx [N,C], the gradient of the output, becomes that of the input; the weights' gradients are added.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<T, 2>& dx,
                const VisionBlockTape<T>& tape, VisionBlockScratch<T>& scratch, const nn::TokenBatch& batch) const {
    norm2.forward(queue, tape.between, scratch.z);
    mlp.backward(queue, weights, dx, scratch.z, tape.activations, scratch.activated, scratch.dhidden, scratch.dz,
                 scratch.sums);
    norm2.backward(queue, weights, scratch.dz, tape.between, tape.statistics2, dx, scratch.sums);
    norm1.forward(queue, tape.x, scratch.z);
    attn.backward(queue, weights, dx, scratch.z, tape.attn, scratch.attn, scratch.dz, batch, scratch.sums);
    norm1.backward(queue, weights, scratch.dz, tape.x, tape.statistics1, dx, scratch.sums);
  }

  /// Elements of VisionBlockScratch::sums.
  Index backward_scratch(Index tokens) const {
    return (std::max)({mlp.backward_scratch(tokens), attn.backward_scratch(tokens),
                       LayerNorm<T>::backward_scratch(tokens, attn.width())});
  }
};

/// All of them. In training positions are among the weights, and each head gives logits of its own.
template <class T>
struct VisionLayers {
  using A = accumulator_t<T>;

  Linear<T> patch;
  const A* prefix;               // [prefix,C]
  const A* positions = nullptr;  // [L,C], of training
  std::vector<VisionBlock<T>> blocks;
  LayerNorm<T> norm;
  std::vector<Linear<T>> heads;

  template <class Image>
  VisionLayers(Image& image, const model::VisionConfig& config)
      : patch(image, "patch_embed.proj", config.in_chans * config.patch_size * config.patch_size) {
    std::vector<std::string> tokens{"cls_token"}, classifiers{"head"};
    if (config.distilled) tokens.push_back("dist_token"), classifiers.push_back("head_dist");
    prefix = image.take_wide(tokens);
    if constexpr (Image::trains) {
      if (config.pos_emb) positions = image.take_wide("pos_embed");
    }
    for (Index i = 0; i < config.depth; ++i) blocks.emplace_back(image, config, "blocks." + std::to_string(i));
    norm = LayerNorm<T>(image, "norm");
    // The answer of inference is the mean over the heads.
    const float share = Image::trains ? 1.0f : 1.0f / static_cast<float>(classifiers.size());
    for (const std::string& name : classifiers) heads.emplace_back(image, name, config.embed_dim, share);
  }
};

}  // namespace lion::cuda
