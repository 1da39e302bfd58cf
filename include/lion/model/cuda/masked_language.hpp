#pragma once
/// model::MaskedLanguage on the GPU, for inference: the same configuration and weights, the same steps in kernels.

#include <optional>
#include <span>

#include "lion/model/cuda/scratch.hpp"
#include "lion/model/cuda/text_encoder.hpp"
#include "lion/model/masked_language.hpp"
#include "lion/nn/cuda/pool.hpp"
#include "lion/nn/cuda/prediction_head.hpp"

namespace lion::cuda {

/// All layers, for inference and for training.
template <class T>
struct MaskedLanguageLayers {
  TextEncoder<T> encoder;
  PredictionHead<T> head;

  template <class Image>
  MaskedLanguageLayers(Image& image, const model::MaskedLanguageConfig& config)
      : encoder(image, config),
        head(image, "cls.predictions", encoder.word(), config.vocab_size, config.hidden_size, config.layer_norm_eps) {}
};

/// Token ids to logits over the vocabulary, for the tokens asked for, all in memory of the device; Memory, the queue
/// and T as of VisionIn (model/cuda/vision.hpp).
template <class T, class Memory>
class MaskedLanguageIn {
 public:
  /// The weights of `host`, rounded to T and uploaded. Throws ArgumentError for a model with Hydra's mixers.
  explicit MaskedLanguageIn(const model::MaskedLanguage<float>& host)
      : config_(TextEncoder<T>::supported(kName, host.config())) {
    layers_.emplace(
        upload<T>(host.parameters(), memory_, [&](WeightImage<T>& image) { return Layers(image, config_); }));
  }

  const model::MaskedLanguageConfig& config() const { return config_; }

  /// The form of every layer from now on; softmax has none.
  void set_form(const form::Any& form) { layers_->encoder.set_form(form); }

  /// Bytes of workspace that `forward` takes for texts of this shape and so many rows: no value is read.
  std::size_t workspace_size(const model::TextInputs& text, Index rows) const {
    layers_->encoder.check(kName, text);
    Arena counting;
    Buffers(*layers_, text, rows, counting);
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
    require_shape<2>(kName, "logits", logits.shape(), {count, config_.vocab_size});
    require_contiguous_rows(kName, "logits", logits);
    Arena arena = device_arena(kName, workspace, workspace_size(text, count));
    const Layers& layers = *layers_;
    Buffers buffers(layers, text, count, arena);
    if (text.tokens() == 0 || count == 0) return;
    layers.encoder.forward(queue, text, buffers.encoder);
    gather_rows<T>(queue, buffers.encoder.x, rows.data(), buffers.hidden);
    layers.head.forward(queue, buffers.hidden, buffers.transformed, logits);
  }

 private:
  static constexpr const char* kName = "masked_language";

  using Layers = MaskedLanguageLayers<T>;

  struct Buffers {
    typename TextEncoder<T>::Buffers encoder;
    View<T, 2> hidden, transformed;  ///< [R,C]

    Buffers(const Layers& layers, const model::TextInputs& text, Index rows, Arena& arena)
        : encoder(layers.encoder, text, arena) {
      const Index width = layers.encoder.width();
      for (View<T, 2>* view : {&hidden, &transformed}) *view = View<T, 2>(arena.take<T>(rows * width), {rows, width});
    }
  };

  model::MaskedLanguageConfig config_;
  Memory memory_;
  std::optional<Layers> layers_;
};

}  // namespace lion::cuda
