#pragma once
/// model::Vision on the GPU, for inference: the same configuration and weights, the same steps in kernels.

#include <map>
#include <utility>

#include "lion/model/cuda/scratch.hpp"
#include "lion/model/cuda/vision_grid.hpp"
#include "lion/model/cuda/vision_layers.hpp"
#include "lion/model/vision.hpp"
#include "lion/nn/cuda/pool.hpp"

namespace lion::cuda {

/// Images to logits, all in memory of the device: `Memory` owns some of it (nn/cuda/weights.hpp) and a queue, given to
/// forward, starts kernels and products there. lion/model/cuda.hpp has both: this header needs no
/// CUDA.
///
/// T is float, bfloat16 or half: of images, weights, activations and logits; sums, norms, decays, positions and what is
/// added to them are float32.
template <class T, class Memory>
class VisionIn {
 public:
  using A = accumulator_t<T>;
  using Layers = VisionLayers<T>;
  using Grid = VisionGrid<A, Memory>;

  /// The weights of `host`, rounded to T and uploaded, and all that images of its own size need. Throws ArgumentError
  /// for a model of another kind than vision.
  explicit VisionIn(const model::Vision<float>& host) : config_(supported(host.config())) {
    const Index side = config_.image_size / config_.patch_size;
    if (config_.pos_emb) {
      positions_ = nn::PositionEmbedding<float>("pos_embed", side, config_.embed_dim, config_.prefix());
      positions_.position.value = host.position_embedding().position.value.clone();
    }
    layers_.emplace(
        upload<T>(host.parameters(), memory_, [&](WeightImage<T>& image) { return Layers(image, config_); }));
    set_form(parse_form(config_.form, config_.chunk_size));
    prepare(config_.image_size, config_.image_size);
  }

  const model::VisionConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) {
    for (VisionBlock<T>& block : layers_->blocks) block.attn.set_form(form);
  }

  /// Uploads what images of another size need (resampled positions, orders), once: forward allocates nothing.
  void prepare(Index height, Index width) {
    check({1, config_.in_chans, height, width});
    const Index rows = height / config_.patch_size, cols = width / config_.patch_size;
    if (grids_.contains({rows, cols})) return;
    grids_.emplace(std::pair(rows, cols), Grid(config_, config_.pos_emb ? &positions_ : nullptr, rows, cols));
  }

  /// Bytes of workspace that `forward` takes for images of this shape.
  std::size_t workspace_size(const Shape<4>& images) const {
    check(images);
    Arena counting;
    Buffers(*this, batch_of(images, nullptr), counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// logits [B,num_classes] of images [B,in_chans,height,width], of a size that has been prepared. Starts kernels and
  /// returns; nothing is allocated or waited for. Large batches go in groups of about kTokens tokens. Throws
  /// ArgumentError before anything is started.
  template <class Queue>
  void forward(const View<const T, 4>& images, const View<T, 2>& logits, Workspace& workspace,
               const Queue& queue) const {
    check(images.shape());
    require_shape<2>("vision", "logits", logits.shape(), {images.extent(0), config_.num_classes});
    require_contiguous_rows("vision", "logits", logits);
    const auto grid = grids_.find({images.extent(2) / config_.patch_size, images.extent(3) / config_.patch_size});
    if (grid == grids_.end()) {
      throw ArgumentError("vision: images has shape " + to_string(images.shape()) +
                          ", expected a height and width for which prepare was called");
    }
    Arena arena = device_arena("vision", workspace, workspace_size(images.shape()));
    const Buffers buffers(*this, batch_of(images.shape(), &grid->second), arena);
    for (Index b = 0; b < images.extent(0); b += buffers.batch.samples) {
      const Index n = (std::min)(buffers.batch.samples, images.extent(0) - b);
      Shape<4> shape = images.shape();
      shape[0] = n;
      infer(queue, View<const T, 4>(images.at(b), shape, images.strides()),
            View<T, 2>(logits.at(b), {n, config_.num_classes}, logits.strides()), grid->second, buffers);
    }
  }

 private:
  /// Tokens that are computed at once: enough to fill a GPU, few enough that memory does not grow with the batch.
  static constexpr Index kTokens = 65536;

  struct Buffers {
    nn::TokenBatch batch;
    T *x, *z, *wide;  ///< [N,C], [N,C], and the widest of 3C, the MLP's width and a patch's entries
    T* pooled;        ///< [classifiers·B,C]
    A* log_lambda;
    Workspace attention;

    Buffers(const VisionIn& model, const nn::TokenBatch& of, Arena& arena) : batch(of) {
      const Layers& layers = *model.layers_;
      const VisionBlock<T>& block = layers.blocks.front();
      const Index width = model.config_.embed_dim, tokens = batch.tokens();
      x = arena.take<T>(tokens * width);
      z = arena.take<T>(tokens * width);
      wide = arena.take<T>(tokens * (std::max)({3 * width, block.mlp.hidden(), layers.patch.in()}));
      pooled = arena.take<T>(model.config_.classifiers() * batch.samples * width);
      log_lambda = arena.take<A>(block.attn.decay_size(batch));
      const std::size_t scratch = block.attn.workspace_size(batch);
      attention = Workspace(arena.take<std::byte>(static_cast<Index>(scratch)), scratch);
    }
  };

  static const model::VisionConfig& supported(const model::VisionConfig& config) {
    if (config.kind != "vision") model::detail::bad_config("vision", "kind", config.kind, "vision on a GPU");
    return config;
  }

  void check(const Shape<4>& images) const {
    nn::check_patches("vision", images, config_.in_chans, config_.patch_size);
  }

  nn::TokenBatch batch_of(const Shape<4>& images, const Grid* grid) const {
    const Index P = config_.patch_size, length = config_.prefix() + images[2] / P * (images[3] / P);
    const Index fit = (std::max)(kTokens / length, Index(1));
    nn::TokenBatch batch{(std::min)(fit, images[0]), length, {}};
    if (grid) batch.orders = grid->orders();
    return batch;
  }

  template <class Queue>
  void infer(const Queue& queue, const View<const T, 4>& images, const View<T, 2>& logits, const Grid& grid,
             const Buffers& buffers) const {
    nn::TokenBatch batch = buffers.batch;
    batch.samples = images.extent(0);
    const Index width = config_.embed_dim, prefix = config_.prefix();
    const View<T, 2> x(buffers.x, {batch.tokens(), width}), z(buffers.z, x.shape());
    const View<T, 2> unfolded(buffers.wide, {batch.tokens(), layers_->patch.in()});
    unfold(queue, images, config_.patch_size, prefix, unfolded);
    layers_->patch.forward(queue, unfolded, x);
    place(queue, x, layers_->prefix, grid.positions(), batch.length, prefix);
    Workspace attention(buffers.attention.data(), buffers.attention.size());
    for (const VisionBlock<T>& block : layers_->blocks) {
      block.norm1.forward(queue, x, z);
      block.attn.forward(queue, z, z, x, buffers.wide, buffers.log_lambda, batch, attention);
      block.norm2.forward(queue, x, z);
      block.mlp.forward(queue, z, x, buffers.wide);
    }
    const auto pooled = [&](std::size_t h) {
      return View<T, 2>(buffers.pooled + static_cast<Index>(h) * batch.samples * width, {batch.samples, width});
    };
    if (!config_.distilled && !config_.cls_tok) {
      layers_->norm.forward(queue, x, z);
      mean<T>(queue, z, pooled(0));
    }
    for (std::size_t h = 0; h < layers_->heads.size(); ++h) {
      if (config_.distilled || config_.cls_tok) {  // the h-th token of each sample, as rows that lie L apart
        layers_->norm.forward(
            queue, View<const T, 2>(x.at(static_cast<Index>(h)), {batch.samples, width}, {batch.length * width, 1}),
            pooled(h));
      }
      layers_->heads[h].forward(queue, pooled(h), logits, h > 0 ? logits : View<T, 2>());
    }
  }

  model::VisionConfig config_;
  nn::PositionEmbedding<float> positions_;
  Memory memory_;
  std::optional<Layers> layers_;
  std::map<std::pair<Index, Index>, Grid> grids_;  // by rows and columns of patches
};

}  // namespace lion::cuda
