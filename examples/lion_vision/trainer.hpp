#pragma once
/// A vision model in training, on the CPU or on another device: the loop of `lion_vision train` does not know which.

#include <cstdint>
#include <memory>

#include "lion/model/vision.hpp"
#include "lion/train/adamw.hpp"
#include "lion/train/clip.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/image_batches.hpp"
#include "lion/train/soft_cross_entropy.hpp"

namespace lion::examples {

/// What a step is made of beside the batch and the learning rate.
struct StepOptions {
  double label_smoothing = 0.1;  ///< of labels; targets have their own
  double clip = 0;               ///< of the gradients' norm; 0: they are not clipped
};

/// Begins where the model and the optimiser that it is made with are, and brings them up to date in `download`.
class Trainer {
 public:
  Trainer() = default;
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  virtual ~Trainer() = default;

  /// A step along the gradient of a batch, the mean cross-entropy of its targets or, where it has none, of its labels.
  /// Returns the loss before the step.
  virtual double step(const train::ImageBatch& batch, double learning_rate) = 0;

  /// The model and the optimiser are where the training is.
  virtual void download() = 0;

  /// logits [B,num_classes] of images, by the weights of the last `download`.
  virtual void classify(const View<const float, 4>& images, const View<float, 2>& logits) = 0;
};

/// On the CPU, where `download` has nothing to do.
class HostTrainer : public Trainer {
 public:
  HostTrainer(model::Vision<float>& model, train::AdamW<float>& optimiser, const StepOptions& options,
              Executor executor)
      : model_(model), optimiser_(optimiser), options_(options), executor_(executor) {}

  double step(const train::ImageBatch& batch, double learning_rate) override {
    const Shape<2> shape{batch.images.extent(0), model_.config().num_classes};
    if (logits_.size() == 0 || logits_.shape() != shape) logits_ = Tensor<float, 2>(shape), dlogits_ = logits_.clone();
    model_.zero_grad();
    const auto draw = static_cast<std::uint64_t>(optimiser_.state().steps);  // of dropout and drop-path
    model_.forward_train(batch.images.view(), logits_.view(), executor_, draw);
    const double loss =
        batch.targets.size() > 0
            ? train::soft_cross_entropy<float>(logits_.view(), batch.targets.view(), dlogits_.view(), executor_)
            : train::cross_entropy<float>(logits_.view(), batch.labels, dlogits_.view(), options_.label_smoothing,
                                          executor_);
    model_.backward(dlogits_.view(), executor_);
    if (options_.clip > 0) train::clip_grad_norm<float>(optimiser_.parameters(), options_.clip);
    optimiser_.step(learning_rate, executor_);
    return loss;
  }

  void download() override {}

  void classify(const View<const float, 4>& images, const View<float, 2>& logits) override {
    model_.forward(images, logits, executor_);
  }

 private:
  model::Vision<float>& model_;
  train::AdamW<float>& optimiser_;
  StepOptions options_;
  Executor executor_;
  Tensor<float, 2> logits_, dlogits_;  // [B,num_classes]
};

}  // namespace lion::examples
