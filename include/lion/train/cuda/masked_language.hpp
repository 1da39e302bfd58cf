#pragma once
/// Training of model::MaskedLanguage on the GPU: forward, loss, backward and step in kernels.

#include <optional>
#include <span>
#include <string>

#include "lion/model/cuda/masked_language.hpp"
#include "lion/nn/cuda/scatter.hpp"
#include "lion/train/cuda/cross_entropy.hpp"
#include "lion/train/cuda/trained_model.hpp"

namespace lion::cuda {

struct MaskedLanguageTrainingOptions {
  train::AdamWOptions adamw{};
  /// As VisionTrainingOptions has it.
  double max_norm = 0;
};

/// What a step learns from, in memory of the device: texts, padded or packed, and what train::Masking asks for.
struct MaskedLanguageBatch {
  model::TextInputs text;
  std::span<const Index> rows;    ///< [R] numbers of the tokens that are predicted
  std::span<const Index> labels;  ///< [R] the ids they had; −1: the row has none, so that R may be the same always
};

/// A masked language model in training; T, Memory and queue as of VisionTrainingIn (train/cuda/vision.hpp). Trained is
/// LION under every mask and form, and softmax; Hydra and dropout are refused.
template <class T, class Memory>
class MaskedLanguageTrainingIn : public TrainedModel<model::MaskedLanguage<float>, T, Memory> {
 public:
  using Base = TrainedModel<model::MaskedLanguage<float>, T, Memory>;
  using A = accumulator_t<T>;

  /// The weights of `host`, uploaded. Throws ArgumentError that names an option of its configuration that does not
  /// train on a GPU.
  explicit MaskedLanguageTrainingIn(const model::MaskedLanguage<float>& host,
                                    const MaskedLanguageTrainingOptions& options = {})
      : Base(kName), config_(supported(host.config())) {
    layers_.emplace(Base::upload(host, options.adamw, options.max_norm,
                                 [&](TrainedImage<T>& image) { return MaskedLanguageLayers<T>(image, config_); }));
  }

  const model::MaskedLanguageConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) { layers_->encoder.set_form(form); }

  /// Bytes of workspace that a step takes for texts of this shape and so many rows: no value is read. Throws
  /// ArgumentError if text does not fit or rows is negative.
  std::size_t workspace_size(const model::TextInputs& text, Index rows) const {
    check(text);
    if (rows < 0) {
      throw ArgumentError(std::string(kName) + ": rows is " + std::to_string(rows) + ", expected at least 0");
    }
    Arena counting;
    Tape(*layers_, config_, text, rows, counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// `backward`, then `update`.
  template <class Queue>
  void step(const MaskedLanguageBatch& batch, const double* learning_rate, double* loss, Workspace& workspace,
            const Queue& queue) {
    Base::require_memory("learning_rate", learning_rate);
    backward(batch, loss, workspace, queue);
    Base::update(learning_rate, queue);
  }

  /// Adds to the gradients that of the loss, which goes to memory of the device: the mean over the rows with a label of
  /// the cross-entropy. The sum is divided by `labelled` if that is not 0, so that micro-batches, some perhaps without
  /// a row, add up to their step. Every address, cu_seqlens included, is of memory of the device, and no value is
  /// checked: ids, types, places and rows must be in range. Starts kernels and returns; nothing is allocated or waited
  /// for, and after a first call all of it may be captured in a graph, which the model, the workspace and the queue's
  /// Blas must outlive. Throws ArgumentError before anything is started.
  template <class Queue>
  void backward(const MaskedLanguageBatch& batch, double* loss, Workspace& workspace, const Queue& queue,
                Index labelled = 0) {
    const auto rows = static_cast<Index>(batch.rows.size());
    check(batch, labelled);
    Base::require_memory("loss", loss);
    Arena arena = device_arena(kName, workspace, workspace_size(batch.text, rows));
    const MaskedLanguageLayers<T>& layers = *layers_;
    Tape tape(layers, config_, batch.text, rows, arena);
    if (rows > 0) {
      layers.encoder.forward_train(queue, batch.text, tape.encoder);
      gather_rows<T>(queue, tape.encoder.x, batch.rows.data(), tape.head.h);
      layers.head.forward_train(queue, tape.head, tape.logits);
    }
    const SharedLabels labels = shared_labels(queue, batch.labels, labelled, tape.share);
    weighted_cross_entropy<T>(queue, tape.logits, labels, 1, tape.logits, tape.losses, loss);  // dlogits in their place
    if (rows == 0) return;
    const TrainedWeights<T>& weights = Base::weights();
    layers.head.backward(queue, weights, tape.logits, tape.head, tape.encoder.scratch.sums);
    scatter_rows<T, T>(queue, tape.head.h, RowNumbers{batch.rows.data()}, tape.encoder.dx, false);
    layers.encoder.backward(queue, weights, batch.text, tape.encoder);
  }

 private:
  static constexpr const char* kName = "masked_language";

  /// Memory of a step; R rows.
  struct Tape {
    typename TextEncoder<T>::Tape encoder;
    typename PredictionHead<T>::Tape head;
    View<T, 2> logits;  ///< [R,V], then their gradient
    A* losses;          ///< [R]
    double* share;      ///< what each label counts

    Tape(const MaskedLanguageLayers<T>& layers, const model::MaskedLanguageConfig& config,
         const model::TextInputs& text, Index rows, Arena& arena)
        : encoder(layers.encoder, text, layers.head.backward_scratch(rows), arena), head(layers.head, rows, arena) {
      const Shape<2> shape{rows, config.vocab_size};
      logits = View<T, 2>(arena.take<T>(count(shape)), shape);
      losses = arena.take<A>(rows);
      share = arena.take<double>(1);
    }
  };

  static const model::MaskedLanguageConfig& supported(const model::MaskedLanguageConfig& config) {
    TextEncoder<T>::supported(kName, config);
    if (config.hidden_dropout_prob > 0) {
      model::detail::bad_config(kName, "hidden_dropout_prob", model::detail::written(config.hidden_dropout_prob),
                                "0 to train on a GPU");
    }
    return config;
  }

  void check(const model::TextInputs& text) const {
    layers_->encoder.check(kName, text);
    model::require_tokens(kName, text);
  }

  void check(const MaskedLanguageBatch& batch, Index labelled) const {
    check(batch.text);
    const Shape<1> rows{static_cast<Index>(batch.rows.size())};
    require_shape<1>(kName, "labels", {static_cast<Index>(batch.labels.size())}, rows, " to match rows");
    if (labelled < 0 || (labelled == 0 && rows[0] == 0)) {
      throw ArgumentError(std::string(kName) + ": labelled is " + std::to_string(labelled) + " for " +
                          std::to_string(rows[0]) + " rows, expected at least 1, or 0 to count the labels");
    }
  }

  model::MaskedLanguageConfig config_;
  std::optional<MaskedLanguageLayers<T>> layers_;
};

}  // namespace lion::cuda
