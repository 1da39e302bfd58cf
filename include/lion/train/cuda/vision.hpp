#pragma once
/// Training of model::Vision on the GPU: forward, loss, backward and step in kernels.

#include <optional>
#include <span>
#include <string>

#include "lion/model/cuda/block_tapes.hpp"
#include "lion/model/cuda/scratch.hpp"
#include "lion/model/cuda/vision_grid.hpp"
#include "lion/model/cuda/vision_layers.hpp"
#include "lion/model/vision.hpp"
#include "lion/nn/cuda/pool.hpp"
#include "lion/train/cuda/cross_entropy.hpp"
#include "lion/train/cuda/trained_model.hpp"

namespace lion::cuda {

struct VisionTrainingOptions {
  train::AdamWOptions adamw{};
  /// That gradients are clipped to (train::clip_grad_norm). 0: they are not, and their norm is not computed; of
  /// infinity it is.
  double max_norm = 0;
  double label_smoothing = 0;  ///< in [0, 1], of `labels`
};

/// What a step learns from, in memory of the device.
template <class T>
struct VisionBatch {
  View<const T, 4> images;                  ///< [B,in_chans,image_size,image_size]
  std::span<const Index> labels{};          ///< [B], each in [0, num_classes), or:
  View<const float, 2> targets{};           ///< [B,num_classes], shares of the classes, as mixup makes them
  std::span<const Index> teacher_labels{};  ///< [B], of a distilled model: what its second head learns, by half
};

/// A vision model in training, with its weights, their gradients and moments in `Memory` of the device
/// (nn/cuda/trained_weights.hpp); a queue starts kernels and products there. lion/train/cuda.hpp has both.
///
/// T is float or bfloat16: of images, activations and their gradients, and of the weights as products read them; the
/// weights that AdamW changes, their gradients, sums, norms and decays are float32. Trained is LION under every mask,
/// order and form, and softmax, distilled or not, on images of the model's own size; what the CPU trains beside that is
/// refused.
template <class T, class Memory>
class VisionTrainingIn : public TrainedModel<model::Vision<float>, T, Memory> {
 public:
  using Base = TrainedModel<model::Vision<float>, T, Memory>;
  using A = accumulator_t<T>;

  /// The weights of `host`, uploaded. Throws ArgumentError that names an option of its configuration that does not
  /// train on a GPU.
  explicit VisionTrainingIn(const model::Vision<float>& host, const VisionTrainingOptions& options = {})
      : Base("vision"), config_(supported(host.config())), label_smoothing_(options.label_smoothing) {
    train::detail::check_fraction("vision", "label_smoothing", options.label_smoothing);
    layers_.emplace(Base::upload(host, options.adamw, options.max_norm,
                                 [&](TrainedImage<T>& image) { return VisionLayers<T>(image, config_); }));
    grid_ = VisionGrid<A, Memory>(config_, nullptr, side(), side());
    for (VisionBlock<T>& block : layers_->blocks) {
      block.attn.set_form(parse_form(config_.form, config_.chunk_size));
    }
  }

  const model::VisionConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) {
    for (VisionBlock<T>& block : layers_->blocks) block.attn.set_form(form);
  }

  /// Bytes of workspace that a step takes for so many images. Throws ArgumentError if there is none.
  std::size_t workspace_size(Index samples) const {
    if (samples < 1) {
      throw ArgumentError("vision: samples is " + std::to_string(samples) + ", expected at least 1 to train on");
    }
    Arena counting;
    Tape(*this, samples, counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// `backward`, then `update`.
  template <class Queue>
  void step(const VisionBatch<T>& batch, const double* learning_rate, double* loss, Workspace& workspace,
            const Queue& queue) {
    Base::require_memory("learning_rate", learning_rate);
    backward(batch, loss, workspace, queue);
    Base::update(learning_rate, queue);
  }

  /// Adds to the gradients that of the loss: the mean over the batch of the cross-entropy, of a distilled model by half
  /// that of each head. The loss goes to memory of the device. The sum is divided by `rows`, which is B where it is 0,
  /// so that micro-batches add up to their step. Starts kernels and returns; nothing is allocated or waited for, and
  /// after a first call all of it may be captured in a graph, which the model, the workspace and the queue's Blas must
  /// outlive. Throws ArgumentError before anything is started; no value is checked.
  template <class Queue>
  void backward(const VisionBatch<T>& batch, double* loss, Workspace& workspace, const Queue& queue, Index rows = 0) {
    const double count = check(batch, rows);
    Base::require_memory("loss", loss);
    const Index samples = batch.images.extent(0);
    Arena arena = device_arena("vision", workspace, workspace_size(samples));
    Tape tape(*this, samples, arena);
    forward(batch.images, tape, queue);
    for (std::size_t h = 0; h < layers_->heads.size(); ++h) {
      const double weight = 1 / (count * static_cast<double>(layers_->heads.size()));
      const auto loss_of = [&](const auto& target) {
        weighted_cross_entropy<T>(queue, tape.logits, target, weight, tape.dlogits, tape.losses, loss, h > 0);
      };
      const Linear<T>& head = layers_->heads[h];
      head.forward(queue, tape.pooled_of(h), tape.logits);
      if (h > 0) {
        loss_of(train::detail::SmoothedLabels(batch.teacher_labels, 0, config_.num_classes));
      } else if (batch.targets) {
        loss_of(train::detail::SoftTargets<float>{batch.targets});
      } else {
        loss_of(train::detail::SmoothedLabels(batch.labels, label_smoothing_, config_.num_classes));
      }
      head.backward_weights(queue, Base::weights(), tape.dlogits, tape.pooled_of(h), tape.blocks.sums);
      head.backward_input(queue, tape.dlogits, tape.dpooled_of(h));
    }
    backward_layers(tape, queue);
  }

 private:
  /// Memory of a step; N = B·L tokens, R heads.
  struct Tape {
    nn::TokenBatch batch;
    View<T, 2> unfolded;  ///< [N,I·P·P]
    BlockTapes<VisionBlock<T>, VisionBlockTape<T>> tapes;
    VisionBlockScratch<T> blocks;
    View<T, 2> x, dx;    ///< [N,C] after the last block, and the gradient that travels back
    A* statistics;       ///< [R·N,2] of the last norm
    View<T, 2> pooled;   ///< [R·B,C]
    View<T, 2> dpooled;  ///< [R·B,C]
    View<T, 2> logits;   ///< [B,K] of one head
    View<T, 2> dlogits;  ///< [B,K]
    A* losses;           ///< [B]

    Tape(const VisionTrainingIn& model, Index samples, Arena& arena)
        : batch{samples, model.length(), model.grid_.orders()},
          unfolded(take_rows<T>(arena, batch, model.layers_->patch.in())),
          tapes(model.layers_->blocks, batch, arena),
          blocks(model.layers_->blocks.front(), batch, model.sums_size(batch), arena),
          x(take_rows<T>(arena, batch, model.config_.embed_dim)),
          dx(take_rows<T>(arena, batch, model.config_.embed_dim)),
          statistics(arena.take<A>(2 * batch.tokens())) {
      const Index width = model.config_.embed_dim, read = model.config_.classifiers() * samples;
      for (View<T, 2>* view : {&pooled, &dpooled}) *view = View<T, 2>(arena.take<T>(read * width), {read, width});
      const Index classes = model.config_.num_classes;
      for (View<T, 2>* view : {&logits, &dlogits}) {
        *view = View<T, 2>(arena.take<T>(samples * classes), {samples, classes});
      }
      losses = arena.take<A>(samples);
    }

    View<T, 2> pooled_of(std::size_t h) const { return of_head(pooled, h); }
    View<T, 2> dpooled_of(std::size_t h) const { return of_head(dpooled, h); }

   private:
    View<T, 2> of_head(const View<T, 2>& x_of, std::size_t h) const {
      return View<T, 2>(x_of.at(static_cast<Index>(h) * batch.samples), {batch.samples, x_of.extent(1)});
    }
  };

  Index side() const { return config_.image_size / config_.patch_size; }
  Index length() const { return config_.prefix() + side() * side(); }
  bool pools_mean() const { return !config_.distilled && !config_.cls_tok; }

  /// Elements of sums that the layers outside the blocks need.
  Index sums_size(const nn::TokenBatch& batch) const {
    return (std::max)({layers_->patch.backward_scratch(batch.tokens()),
                       place_scratch(batch.samples, batch.length * config_.embed_dim),
                       layers_->heads.front().backward_scratch(batch.samples),
                       LayerNorm<T>::backward_scratch(batch.tokens(), config_.embed_dim)});
  }

  static const model::VisionConfig& supported(const model::VisionConfig& config) {
    const auto refuse = [](const char* key, const std::string& value, const char* expected) {
      model::detail::bad_config("vision", key, value, expected);
    };
    if (config.kind != "vision") refuse("kind", config.kind, "vision to train on a GPU");
    if (config.dropout > 0) refuse("dropout", model::detail::written(config.dropout), "0 to train on a GPU");
    if (config.drop_path > 0) refuse("drop_path", model::detail::written(config.drop_path), "0 to train on a GPU");
    return config;
  }

  /// What the sum of the losses is divided by.
  double check(const VisionBatch<T>& batch, Index rows) const {
    const Shape<4>& shape = batch.images.shape();
    require_shape<4>("vision", "images", shape, {-1, config_.in_chans, config_.image_size, config_.image_size});
    if (shape[0] < 1) throw ArgumentError("vision: images has 0 samples, expected at least 1 to train on");
    const Shape<2> logits{shape[0], config_.num_classes};
    const double count = train::detail::check_rows("vision", logits, rows);
    const auto require = [&](const char* name, std::span<const Index> labels, bool wanted) {
      require_shape<1>("vision", name, {static_cast<Index>(labels.size())}, {wanted ? shape[0] : 0});
    };
    if (batch.targets) require_shape<2>("vision", "targets", batch.targets.shape(), logits);
    require("labels", batch.labels, !batch.targets);
    require("teacher_labels", batch.teacher_labels, config_.distilled);
    return count;
  }

  template <class Queue>
  void forward(const View<const T, 4>& images, Tape& tape, const Queue& queue) const {
    const VisionLayers<T>& layers = *layers_;
    const View<T, 2> first = tape.tapes[0].x;
    unfold(queue, images, config_.patch_size, config_.prefix(), tape.unfolded);
    layers.patch.forward(queue, tape.unfolded, first);
    place(queue, first, layers.prefix, layers.positions, tape.batch.length, config_.prefix());
    for (std::size_t i = 0; i < layers.blocks.size(); ++i) {
      const View<T, 2> out = i + 1 < layers.blocks.size() ? tape.tapes[i + 1].x : tape.x;
      layers.blocks[i].forward_train(queue, out, tape.tapes[i], tape.blocks, tape.batch);
    }
    if (pools_mean()) {
      layers.norm.forward(queue, tape.x, tape.blocks.z, tape.statistics);
      mean<T>(queue, tape.blocks.z, tape.pooled);
      return;
    }
    for (std::size_t h = 0; h < layers.heads.size(); ++h) {
      layers.norm.forward(queue, token(tape.x, h), tape.pooled_of(h), statistics(tape, h));
    }
  }

  template <class Queue>
  void backward_layers(Tape& tape, const Queue& queue) const {
    const VisionLayers<T>& layers = *layers_;
    const TrainedWeights<T>& weights = Base::weights();
    if (pools_mean()) {
      mean_backward<T>(queue, tape.dpooled, tape.blocks.dz);
      layers.norm.backward(queue, weights, tape.blocks.dz, tape.x, tape.statistics, tape.dx, tape.blocks.sums, false);
    } else {
      clear(queue, tape.dx);
      for (std::size_t h = 0; h < layers.heads.size(); ++h) {
        layers.norm.backward(queue, weights, tape.dpooled_of(h), token(tape.x, h), statistics(tape, h),
                             token(tape.dx, h), tape.blocks.sums, false);
      }
    }
    for (std::size_t i = layers.blocks.size(); i-- > 0;) {
      layers.blocks[i].backward(queue, weights, tape.dx, tape.tapes[i], tape.blocks, tape.batch);
    }
    place_backward(queue, weights, tape.dx, layers.prefix, layers.positions, tape.batch.length, config_.prefix(),
                   tape.blocks.sums);
    layers.patch.backward_weights(queue, weights, tape.dx, tape.unfolded, tape.blocks.sums);
  }

  /// The h-th token of each sample, as rows that lie L apart.
  View<T, 2> token(const View<T, 2>& x, std::size_t h) const {
    return View<T, 2>(x.at(static_cast<Index>(h)), {x.extent(0) / length(), x.extent(1)}, {length() * x.extent(1), 1});
  }
  /// Of the h-th head's norm.
  static A* statistics(const Tape& tape, std::size_t h) {
    return tape.statistics + static_cast<Index>(h) * 2 * tape.batch.samples;
  }

  model::VisionConfig config_;
  double label_smoothing_;
  std::optional<VisionLayers<T>> layers_;
  VisionGrid<A, Memory> grid_;
};

}  // namespace lion::cuda
