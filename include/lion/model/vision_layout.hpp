#pragma once
/// Where a vision model's buffers lie: laid out by an arena that counts, then by one that has memory.

#include <array>
#include <memory>
#include <vector>

#include "lion/model/vision_config.hpp"
#include "lion/nn/block.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/patch_embedding.hpp"
#include "lion/nn/position_embedding.hpp"
#include "lion/order/curves.hpp"

namespace lion::model {

/// Vim's class token stands amid the patches, others before them.
inline nn::PrefixPlace prefix_place(const VisionConfig& config) {
  return config.middle() ? nn::PrefixPlace::middle : nn::PrefixPlace::front;
}

/// The curves over the patches of a grid, after the prefix tokens.
class GridOrders {
 public:
  /// `count` 1: tokens as they lie; 2: both S-curves.
  GridOrders(Index count, Index prefix, Index rows, Index cols, Arena& arena) {
    if (count < 2) return;
    const Index length = prefix + rows * cols;
    for (std::span<const Index>& order : orders_) {
      Index* places = arena.take<Index>(length);
      order = {places, static_cast<std::size_t>(length)};
      if (!places) continue;
      for (Index i = 0; i < prefix; ++i) places[i] = i;
      for (Index i = 0; i < rows * cols; ++i) {
        places[prefix + i] = prefix + (&order == orders_.data() ? order::s_curve_token(i, rows, cols)
                                                                : order::s_curve_transposed_token(i, rows, cols));
      }
    }
    count_ = orders_.size();
  }

  std::span<const std::span<const Index>> span() const { return {orders_.data(), count_}; }

 private:
  std::array<std::span<const Index>, 2> orders_{};
  std::size_t count_ = 0;
};

/// Buffers of inference on `batch` images at a time: with attention x, z and memory together are five [N,C] for images
/// whose patches have at most 3C entries and MLPs whose block of tokens fits (N tokens; math.md §6's base model from
/// one image on), beside log λ.
template <Real S>
struct VisionBuffers {
  GridOrders orders;
  std::optional<typename nn::PositionEmbedding<S>::OnGrid> positions;
  nn::TokenBatch batch;
  View<S, 2> x, z;    ///< [N,C]
  std::byte* memory;  ///< of blocks; [N, I·P·P] unfolded patches
  View<S, 2> pooled;  ///< [classifiers·B,C]

  template <class Model>
  VisionBuffers(const Model& model, Index samples, Index rows, Index cols, Arena& arena)
      : orders(model.config().orders(), model.config().prefix(), rows, cols, arena) {
    const VisionConfig& config = model.config();
    const Index width = config.embed_dim, length = config.prefix() + rows * cols, tokens = samples * length;
    if (config.pos_emb) positions.emplace(model.position_embedding(), rows, cols, arena);
    batch = {samples, length, {}};
    x = nn::take_matrix<S>(arena, tokens, width);
    z = nn::take_matrix<S>(arena, tokens, width);
    const Index unfolded = tokens * config.in_chans * config.patch_size * config.patch_size;
    memory = arena.take<std::byte>((std::max)(unfolded * static_cast<Index>(sizeof(S)),
                                              static_cast<Index>(model.blocks().front().buffer_bytes(batch))));
    pooled = nn::take_matrix<S>(arena, config.classifiers() * samples, width);
  }
};

/// What a training step keeps, for all images of the batch.
template <Real S>
struct VisionTape {
  GridOrders orders;
  std::optional<typename nn::PositionEmbedding<S>::OnGrid> positions;
  nn::TokenBatch batch;
  View<S, 2> unfolded;  ///< [N, I·P·P]
  std::vector<nn::BlockTape<S>> blocks;
  nn::TrainingBuffers<S> buffers;
  View<S, 2> x, dx;            ///< [N,C] after the last block, and the gradient that travels back
  View<S, 2> statistics;       ///< [N,2] of the last norm; its first classifiers·B rows where a token is read
  View<S, 2> pooled, dpooled;  ///< [classifiers·B,C]
  View<S, 2> share;            ///< [B,num_classes] what each of two heads has of the gradient of their mean

  template <class Model>
  VisionTape(const Model& model, Index samples, Index rows, Index cols, Arena& arena)
      : orders(model.config().orders(), model.config().prefix(), rows, cols, arena),
        batch{samples, model.config().prefix() + rows * cols, {}},
        unfolded(nn::take_matrix<S>(arena, batch.tokens(),
                                    model.config().in_chans * model.config().patch_size * model.config().patch_size)),
        blocks(make_blocks(model, batch, arena)),
        buffers(model.blocks().front(), batch, arena),
        x(nn::take_matrix<S>(arena, batch.tokens(), model.config().embed_dim)),
        dx(nn::take_matrix<S>(arena, batch.tokens(), model.config().embed_dim)),
        statistics(nn::take_matrix<S>(arena, batch.tokens(), 2)),
        pooled(nn::take_matrix<S>(arena, model.config().classifiers() * samples, model.config().embed_dim)),
        dpooled(nn::take_matrix<S>(arena, model.config().classifiers() * samples, model.config().embed_dim)),
        share(nn::take_matrix<S>(arena, model.config().classifiers() > 1 ? samples : 0, model.config().num_classes)) {
    if (model.config().pos_emb) positions.emplace(model.position_embedding(), rows, cols, arena);
    batch.orders = orders.span();
  }
  VisionTape(const VisionTape&) = delete;  // `batch` points into `orders`
  VisionTape& operator=(const VisionTape&) = delete;

 private:
  template <class Model>
  static std::vector<nn::BlockTape<S>> make_blocks(const Model& model, const nn::TokenBatch& batch, Arena& arena) {
    std::vector<nn::BlockTape<S>> tapes;
    tapes.reserve(model.blocks().size());
    for (const nn::Block<S>& block : model.blocks()) tapes.emplace_back(block, batch, arena);
    return tapes;
  }
};

}  // namespace lion::model
