#pragma once
/// model::SequenceClassifier on the GPU, for inference: the same configuration and weights, the same steps in kernels.

#include <optional>

#include "lion/model/cuda/scratch.hpp"
#include "lion/model/cuda/text_encoder.hpp"
#include "lion/model/sequence_classifier.hpp"
#include "lion/nn/cuda/pool.hpp"

namespace lion::cuda {

/// Token ids to logits, one row per sequence, all in memory of the device; Memory, the queue and T as of VisionIn
/// (model/cuda/vision.hpp).
template <class T, class Memory>
class SequenceClassifierIn {
 public:
  /// The weights of `host`, rounded to T and uploaded. Throws ArgumentError for a model with Hydra's mixers.
  explicit SequenceClassifierIn(const model::SequenceClassifier<float>& host)
      : config_((TextEncoder<T>::supported(kName, host.config().encoder), host.config())) {
    layers_.emplace(
        upload<T>(host.parameters(), memory_, [&](WeightImage<T>& image) { return Layers(image, config_); }));
  }

  const model::SequenceClassifierConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) { layers_->encoder.set_form(form); }

  /// Bytes of workspace that `forward` takes for texts of this shape: no value is read.
  std::size_t workspace_size(const model::TextInputs& text) const {
    check(text);
    Arena counting;
    Buffers(*layers_, text, counting);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  /// logits [sequences,num_labels]. Every address, cu_seqlens included, is of memory of the device, and no value is
  /// checked: ids, types and places must be in range, and every sequence have a token. Starts kernels and returns;
  /// nothing is allocated or waited for. Throws ArgumentError, before anything is started, for shapes that do not fit.
  template <class Queue>
  void forward(const model::TextInputs& text, const View<T, 2>& logits, Workspace& workspace,
               const Queue& queue) const {
    const std::size_t size = workspace_size(text);
    require_shape<2>(kName, "logits", logits.shape(), {text.sequences(), config_.num_labels});
    require_contiguous_rows(kName, "logits", logits);
    Arena arena = device_arena(kName, workspace, size);
    const Layers& layers = *layers_;
    Buffers buffers(layers, text, arena);
    if (text.sequences() == 0) return;
    layers.encoder.forward(queue, text, buffers.encoder);
    const View<T, 2>&x = buffers.encoder.x, &pooled = buffers.pooled;
    View<const T, 2> first(x.data(), pooled.shape(), {text.ids.extent(1) * x.extent(1), 1});
    if (!text.cu_seqlens.empty()) {
      gather_rows<T>(queue, x, text.cu_seqlens.data(), buffers.gathered);
      first = buffers.gathered;
    }
    layers.pooler.forward(queue, first, pooled);
    activate<Tanh>(queue, pooled);
    layers.classifier.forward(queue, pooled, logits);
  }

 private:
  static constexpr const char* kName = "sequence_classifier";

  struct Layers {
    TextEncoder<T> encoder;
    Linear<T> pooler, classifier;

    Layers(WeightImage<T>& image, const model::SequenceClassifierConfig& config)
        : encoder(image, config.encoder),
          pooler(image, "bert.pooler.dense", config.encoder.hidden_size),
          classifier(image, "classifier", config.encoder.hidden_size) {}
  };

  struct Buffers {
    typename TextEncoder<T>::Buffers encoder;
    View<T, 2> gathered, pooled;  ///< [sequences,C]

    Buffers(const Layers& layers, const model::TextInputs& text, Arena& arena) : encoder(layers.encoder, text, arena) {
      const Shape<2> shape{text.sequences(), layers.encoder.width()};
      for (View<T, 2>* view : {&gathered, &pooled}) *view = View<T, 2>(arena.take<T>(count(shape)), shape);
    }
  };

  void check(const model::TextInputs& text) const {
    layers_->encoder.check(kName, text);
    if (text.sequences() == 0 || text.tokens() > 0) return;
    throw ArgumentError(std::string(kName) + ": ids has shape " + to_string(text.ids.shape()) +
                        ", expected at least one token in a row");
  }

  model::SequenceClassifierConfig config_;
  Memory memory_;
  std::optional<Layers> layers_;
};

}  // namespace lion::cuda
