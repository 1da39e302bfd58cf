#pragma once
/// The vision models of math.md §6 and §9 in one skeleton: LION under any mask and order, a softmax ViT, distilled
/// (DeiT) if asked, Hydra and Vim.

#include "lion/model/initial.hpp"
#include "lion/model/vision_block.hpp"
#include "lion/model/vision_config.hpp"
#include "lion/model/vision_head.hpp"
#include "lion/model/weights.hpp"
#include "lion/nn/scratch.hpp"

namespace lion::model {

/// Images to logits, and back. Weights have the names of a timm/DeiT state dict, and those of Hydra's and Vim's
/// authors.
///
/// Inference goes over micro-batches of as many images as make about 512 tokens, so that memory does not grow with the
/// batch; a micro-batch of N tokens takes five buffers [N,C] (x, z, and q, k, v fused) beside a few values per token,
/// and with a state space x, z and the mixer's (nn/hydra_layout.hpp, nn/vim_mixer.hpp). Results are the same bits for
/// any executor.
template <Real S>
class Vision : public Weights<S, Vision<S>> {
 public:
  /// With initial weights, if they are to be drawn, from config.seed: truncated normal of deviation 0.02, patch
  /// embedding uniform, decays spread over the heads, biases 0. Throws ArgumentError if the configuration is wrong.
  explicit Vision(const VisionConfig& config, Initial initial = Initial::drawn) : config_((config.check(), config)) {
    const Index width = config.embed_dim;
    patch_embed_ = nn::PatchEmbedding<S>("patch_embed", config.in_chans, config.patch_size, width, config.prefix(),
                                         prefix_place(config));
    for (const char* name : {"cls_token", "dist_token"}) {
      if (static_cast<Index>(prefix_.size()) == config.prefix()) break;
      prefix_.push_back(nn::Parameter<S>::without_grad(name, {1, 1, width}, false));
    }
    if (config.pos_emb) {
      positions_ = nn::PositionEmbedding<S>("pos_embed", config.image_size / config.patch_size, width, config.prefix(),
                                            prefix_place(config));
    }
    for (Index i = 0; i < config.depth; ++i) blocks_.push_back(vision_block<S>(config, i));
    head_ = VisionHead<S>(config);
    set_form(parse_form(config.form, config.chunk_size));
    if (initial == Initial::drawn) initialise();
  }

  const VisionConfig& config() const { return config_; }
  const std::vector<nn::Block<S>>& blocks() const { return blocks_; }
  const nn::PositionEmbedding<S>& position_embedding() const { return positions_; }

  /// The form of every layer from now on; softmax and Vim have none.
  void set_form(const form::Any& form) {
    for (nn::Block<S>& block : blocks_) block.mixer.set_form(form);
  }

  /// Bytes of Scratch::activations that `forward` takes for images of this shape.
  std::size_t activation_bytes(const Shape<4>& images, const Executor& = {}) const {
    check_images(images);
    return layout_bytes<VisionBuffers<S>>(micro_batch(images), images);
  }

  /// Bytes of Scratch::attention that `forward` takes: the scratch of the operator, by form, or of a scan.
  std::size_t attention_bytes(const Shape<4>& images, const Executor& executor = {}) const {
    check_images(images);
    const nn::TokenBatch batch{micro_batch(images), patch_embed_.tokens(images), {}};
    return blocks_.front().mixer.workspace_size(batch, executor);
  }

  /// logits [B,num_classes] of images [B,in_chans,height,width], whose height and width are any multiples of the patch
  /// size: positions are resampled. Allocates nothing once the scratch has grown to the size.
  void forward(const View<const S, 4>& images, const View<S, 2>& logits, nn::Scratch& scratch,
               Executor executor = {}) const {
    check_images(images.shape());
    require_shape<2>("vision", "logits", logits.shape(), {images.extent(0), config_.num_classes});
    require_contiguous_rows("vision", "logits", logits);
    if (images.extent(0) == 0) return;
    const Index at_once = micro_batch(images.shape());
    scratch.activations.reserve(activation_bytes(images.shape()));
    scratch.attention.reserve(attention_bytes(images.shape(), executor));
    Arena arena = scratch.activations.arena();
    VisionBuffers<S> buffers(*this, at_once, patch_embed_.rows(images.shape()), patch_embed_.cols(images.shape()),
                             arena);
    const S* positions = buffers.positions ? buffers.positions->values(positions_) : nullptr;
    for (Index b = 0; b < images.extent(0); b += at_once) {
      const Index n = (std::min)(at_once, images.extent(0) - b);
      Shape<4> shape = images.shape();
      shape[0] = n;
      infer(View<const S, 4>(images.at(b), shape, images.strides()),
            View<S, 2>(logits.at(b), {n, config_.num_classes}, logits.strides()), positions, buffers, scratch.attention,
            executor);
    }
  }

  /// The same with the model's own scratch: for one thread at a time.
  void forward(const View<const S, 4>& images, const View<S, 2>& logits, Executor executor = {}) {
    forward(images, logits, scratch_, executor);
  }

  /// The model's own scratch.
  const nn::Scratch& scratch() const { return scratch_; }

  /// logits as `forward`'s, but with dropout and drop-path as configured (drawn from `seed`), for all images at once,
  /// keeping what `backward` needs. The images are not looked at again.
  void forward_train(const View<const S, 4>& images, const View<S, 2>& logits, Executor executor = {},
                     std::uint64_t seed = 0) {
    check_images(images.shape());
    require_shape<2>("vision", "logits", logits.shape(), {images.extent(0), config_.num_classes});
    require_contiguous_rows("vision", "logits", logits);
    train_blocks(images, executor, seed);
    head_.forward(tape_->pooled, tape_->batch, logits, executor);
    ready_ = true;
  }

  /// The same with each head's own logits, [classifiers,B,num_classes] (config().classifiers()): of the class, then, if
  /// distilled, of the teacher's class.
  void forward_train(const View<const S, 4>& images, const View<S, 3>& logits, Executor executor = {},
                     std::uint64_t seed = 0) {
    check_images(images.shape());
    require_shape<3>("vision", "logits", logits.shape(),
                     {config_.classifiers(), images.extent(0), config_.num_classes});
    require_contiguous_rows("vision", "logits", logits);
    train_blocks(images, executor, seed);
    head_.forward(tape_->pooled, tape_->batch, logits, executor);
    ready_ = true;
  }

  /// Adds to every weight's `grad` the gradient of the last `forward_train`, given dlogits [B,num_classes] of its
  /// logits, the mean over the heads. Once per forward_train. Throws ArgumentError if there was none.
  void backward(const View<const S, 2>& dlogits, Executor executor = {}) {
    require_tape();
    require_shape<2>("vision", "dlogits", dlogits.shape(), {tape_->batch.samples, config_.num_classes});
    require_contiguous_rows("vision", "dlogits", dlogits);
    ready_ = false;
    head_.backward(dlogits, *tape_, executor);
    backward_blocks(executor);
  }

  /// The same given dlogits [classifiers,B,num_classes] of each head's own.
  void backward(const View<const S, 3>& dlogits, Executor executor = {}) {
    require_tape();
    require_shape<3>("vision", "dlogits", dlogits.shape(),
                     {config_.classifiers(), tape_->batch.samples, config_.num_classes});
    require_contiguous_rows("vision", "dlogits", dlogits);
    ready_ = false;
    head_.backward(dlogits, *tape_, executor);
    backward_blocks(executor);
  }

  /// Bytes that training steps so far hold: activations, and the scratch of attention.
  std::size_t training_bytes() const { return tape_memory_.size() + scratch_.attention.size(); }

  /// f(parameter) in the order of a timm state dict.
  template <class F>
  void for_each_parameter(F&& f) {
    f(prefix_.front());
    if (config_.pos_emb) positions_.for_each_parameter(f);
    for (std::size_t i = 1; i < prefix_.size(); ++i) f(prefix_[i]);
    patch_embed_.for_each_parameter(f);
    for (nn::Block<S>& block : blocks_) block.for_each_parameter(f);
    head_.for_each_parameter(f);
  }

 private:
  using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;

  void initialise() {
    const nn::PlacedRandom random(config_.seed, 0);
    nn::truncated_normal(prefix_.front(), 0.02, random.stream(0));
    if (config_.distilled) nn::truncated_normal(prefix_.back(), 0.02, random.stream(0).stream(1));
    if (config_.pos_emb) positions_.initialise(random.stream(1));
    patch_embed_.initialise(random.stream(2));
    head_.initialise(random.stream(3));
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i].initialise(random.stream(4 + i));
  }

  void check_images(const Shape<4>& images) const { patch_embed_.check("vision", images); }

  Index micro_batch(const Shape<4>& images) const {
    const Index fit = (std::max)(Index(512) / patch_embed_.tokens(images), Index(1));
    return (std::max)((std::min)(fit, images[0]), Index(1));
  }

  template <class Layout>
  std::size_t layout_bytes(Index samples, const Shape<4>& images) const {
    Arena counting;
    Layout(*this, samples, patch_embed_.rows(images), patch_embed_.cols(images), counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// x [N,C]: patches, prefix tokens, positions.
  void embed(const View<const S, 4>& images, const View<S, 2>& unfolded, const S* positions, Index length,
             const View<S, 2>& x, const Executor& executor) const {
    patch_embed_.unfold(images, unfolded, executor);
    patch_embed_.forward(unfolded, x, executor);
    for (Index b = 0; b < images.extent(0); ++b) {
      S* row = x.at(b * length + patch_embed_.prefix_row(length));
      for (const nn::Parameter<S>& token : prefix_) row = std::copy_n(token.value.data(), config_.embed_dim, row);
    }
    if (positions) nn::PositionEmbedding<S>::add(positions, length, x, executor);
  }

  void infer(const View<const S, 4>& images, const View<S, 2>& logits, const S* positions,
             const VisionBuffers<S>& buffers, Workspace& workspace, const Executor& executor) const;

  /// Everything but the heads: fills a new tape, up to what they read.
  void train_blocks(const View<const S, 4>& images, const Executor& executor, std::uint64_t seed);

  void require_tape() const {
    if (!ready_) throw ArgumentError("vision: backward was called without a forward_train before it");
  }

  /// The weights' gradients but the heads', from the tape's dx [N,C].
  void backward_blocks(const Executor& executor);

  nn::PlacedRandom embedding_random() const { return nn::PlacedRandom(seed_, 0); }

  nn::Noise noise(std::size_t block) const {
    const double along = config_.depth > 1 ? static_cast<double>(block) / static_cast<double>(config_.depth - 1) : 0;
    return {config_.dropout, config_.drop_path * along, nn::PlacedRandom(seed_, 1 + block)};
  }

  VisionConfig config_;
  nn::PatchEmbedding<S> patch_embed_;
  std::vector<nn::Parameter<S>> prefix_;  // class token and, if distilled, distillation token
  nn::PositionEmbedding<S> positions_;
  std::vector<nn::Block<S>> blocks_;
  VisionHead<S> head_;

  nn::Scratch scratch_;
  Workspace tape_memory_;
  std::unique_ptr<VisionTape<S>> tape_;
  bool ready_ = false;  // the tape is whole and has not been used: neither pass was left by an exception
  std::uint64_t seed_ = 0;
};

// Outside the class, and so not inline: with LION_EXTERN_KERNELS no file compiles them but one (cpu/kernels.hpp).

template <Real S>
void Vision<S>::infer(const View<const S, 4>& images, const View<S, 2>& logits, const S* positions,
                      const VisionBuffers<S>& buffers, Workspace& workspace, const Executor& executor) const {
  const Index samples = images.extent(0);
  const nn::TokenBatch batch{samples, buffers.batch.length, buffers.orders.span()};
  const Shape<2> tokens{batch.tokens(), config_.embed_dim};
  const View<S, 2> x(buffers.x.data(), tokens), z(buffers.z.data(), tokens);
  embed(images, View<S, 2>(reinterpret_cast<S*>(buffers.memory), {batch.tokens(), patch_embed_.proj.in()}), positions,
        batch.length, x, executor);
  const nn::BlockBuffers<S> shared{z, buffers.memory};
  for (const nn::Block<S>& block : blocks_) block.forward(x, shared, batch, workspace, executor);
  head_.pool(x, z, batch, buffers.pooled, executor);
  head_.forward(buffers.pooled, batch, logits, executor);
}

template <Real S>
void Vision<S>::train_blocks(const View<const S, 4>& images, const Executor& executor, std::uint64_t seed) {
  if (images.extent(0) < 1) throw ArgumentError("vision: images has 0 samples, expected at least 1 to train on");
  this->make_grad();
  ready_ = false;
  tape_.reset();
  tape_memory_.reserve(layout_bytes<VisionTape<S>>(images.extent(0), images.shape()));
  Arena arena = tape_memory_.arena();
  tape_ = std::make_unique<VisionTape<S>>(*this, images.extent(0), patch_embed_.rows(images.shape()),
                                          patch_embed_.cols(images.shape()), arena);
  seed_ = seed;
  const VisionTape<S>& tape = *tape_;
  const View<S, 2>& first = tape.blocks.front().x;
  const S* positions = tape.positions ? tape.positions->values(positions_) : nullptr;
  embed(images, tape.unfolded, positions, tape.batch.length, first, executor);
  nn::dropout(first, config_.dropout, embedding_random(), executor);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].forward_train(i + 1 < blocks_.size() ? tape.blocks[i + 1].x : tape.x, tape.blocks[i], tape.buffers,
                             tape.batch, noise(i), scratch_.attention, executor);
  }
  head_.pool(tape.x, tape.buffers.z, tape.batch, tape.pooled, executor, tape.statistics);
}

template <Real S>
void Vision<S>::backward_blocks(const Executor& executor) {
  const VisionTape<S>& tape = *tape_;
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    blocks_[i].backward(tape.dx, tape.blocks[i], tape.buffers, tape.batch, noise(i), scratch_.attention, executor);
  }
  nn::dropout(tape.dx, config_.dropout, embedding_random(), executor);
  if (tape.positions) tape.positions->backward(positions_, tape.dx, executor);
  for (Index b = 0; b < tape.batch.samples; ++b) {
    S* row = tape.dx.at(b * tape.batch.length + patch_embed_.prefix_row(tape.batch.length));
    for (nn::Parameter<S>& token : prefix_) {
      Row of_token(row, config_.embed_dim);
      Row(token.grad.data(), config_.embed_dim) += of_token;
      of_token.setZero();  // the patch embedding made none of it
      row += config_.embed_dim;
    }
  }
  patch_embed_.backward(tape.dx, tape.unfolded, executor);
}

#ifdef LION_EXTERN_KERNELS
extern template class Vision<float>;
extern template class Vision<double>;
#endif

}  // namespace lion::model
