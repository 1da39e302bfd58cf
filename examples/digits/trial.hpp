#pragma once
/// One model in training.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/model/vision.hpp"
#include "lion/train/train.hpp"

namespace lion::examples::digits {

/// What is the same for all models.
struct Recipe {
  Index batch = 16;
  Index epochs = 14;
  double learning_rate = 8e-3;  ///< at its peak, after warm-up over a tenth of the steps; then half a cosine to 0
  double weight_decay = 0.05;
  double label_smoothing = 0.1;
  double clip = 1;  ///< of the gradients' norm
};

/// Digits as the models take them: [N,1,8,8], of mean 0 and deviation 1 over the training set.
struct Digits {
  train::DigitsData data;
  float mean = 0, deviation = 1;

  explicit Digits(const std::string& path) : data(train::load_digits(path)) {
    double sum = 0, squares = 0;
    for (float x : data.train.pixels) {
      sum += static_cast<double>(x);
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
    const auto n = static_cast<double>(data.train.pixels.size());
    mean = static_cast<float>(sum / n);
    deviation = static_cast<float>(std::sqrt((std::max)(squares / n - sum / n * sum / n, 1e-12)));
    for (train::LabelledImages* part : {&data.train, &data.test}) {
      for (float& x : part->pixels) x = (x - mean) / deviation;
    }
  }

  static constexpr Index kPixels = train::DigitsData::side * train::DigitsData::side;
  static Shape<4> shape(Index n) { return {n, 1, train::DigitsData::side, train::DigitsData::side}; }
  View<const float, 4> train_images() const { return {data.train.pixels.data(), shape(data.train.size())}; }
  View<const float, 4> test_images() const { return {data.test.pixels.data(), shape(data.test.size())}; }
};

/// A model that learns the digits within a minute: pixels as tokens.
inline model::VisionConfig digits_size() {
  model::VisionConfig config;
  config.image_size = train::DigitsData::side;
  config.patch_size = 1;
  config.in_chans = 1;
  config.embed_dim = 32;
  config.num_heads = 2;
  config.depth = 2;
  config.mlp_ratio = 2;
  config.cls_tok = false;
  return config;
}

/// Logits [N,classes] of images [N,1,8,8].
inline Tensor<float, 2> classify(const model::Vision<float>& model, View<const float, 4> images, nn::Scratch& scratch,
                                 Executor executor) {
  Tensor<float, 2> logits({images.extent(0), model.config().num_classes});
  model.forward(images, logits.view(), scratch, executor);
  return logits;
}

/// A model, its optimiser, and where it is in the data; all models of one seed see the same batches.
class Trial {
 public:
  /// A distilled model learns from a teacher, too: its answers for the digits to train on.
  Trial(const model::VisionConfig& config, const Recipe& recipe, const Digits& digits,
        std::span<const Index> teacher = {})
      : model_(std::make_unique<model::Vision<float>>(config)),
        recipe_(recipe),
        digits_(digits),
        teacher_(teacher),
        batches_(digits.data.train.size(), recipe.batch, config.seed),
        steps_(recipe.epochs * batches_.per_epoch()),
        schedule_({.peak = recipe.learning_rate, .total = steps_, .warmup = steps_ / 10}),
        parameters_(model_->parameters()),
        optimiser_(std::span<nn::Parameter<float>* const>(parameters_), {.weight_decay = recipe.weight_decay}),
        images_(Digits::shape(recipe.batch)),
        logits_({config.classifiers(), recipe.batch, config.num_classes}),
        dlogits_(logits_.shape()),
        labels_(static_cast<std::size_t>(recipe.batch)),
        teacher_labels_(labels_) {
    widen_weights();
  }

  Index step() const { return step_; }
  double loss() const { return loss_; }
  const model::Vision<float>& model() const { return *model_; }
  std::unique_ptr<model::Vision<float>> take_model() { return std::move(model_); }

  /// The next `n` steps; returns the seconds they took.
  double train(Index n, Executor executor) {
    const auto start = std::chrono::steady_clock::now();
    for (const Index end = step_ + n; step_ < end; ++step_) {
      gather();
      model_->zero_grad();
      model_->forward_train(images_.view(), logits_.view(), executor, static_cast<std::uint64_t>(step_));
      if (model_->config().distilled) {
        loss_ = train::hard_distillation<float>(logits_.view(), labels_, teacher_labels_, dlogits_.view(),
                                                recipe_.label_smoothing);
      } else {
        const Shape<2> shape{recipe_.batch, model_->config().num_classes};
        loss_ = train::cross_entropy<float>({logits_.data(), shape}, labels_, {dlogits_.data(), shape},
                                            recipe_.label_smoothing);
      }
      model_->backward(dlogits_.view(), executor);
      train::clip_grad_norm(std::span<nn::Parameter<float>* const>(parameters_), recipe_.clip);
      optimiser_.step(schedule_(step_), executor);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  /// The deviation of 0.02 that weights start from suits widths of 192 and more. A narrow model learns sooner from
  /// 1/√inputs, and, where a token is one pixel, from positions that are not lost beside it.
  void widen_weights() {
    for (nn::Parameter<float>* p : parameters_) {
      double deviation = 0.02;
      if (p->name == "pos_embed" || p->name == "cls_token" || p->name == "dist_token") deviation = 2;
      if (p->name.starts_with("blocks.") && p->decay && p->shape.size() == 2) {
        deviation = 1 / std::sqrt(static_cast<double>(p->shape[1]));
      }
      for (Index i = 0; i < p->size(); ++i) p->value(i) *= static_cast<float>(deviation / 0.02);
    }
  }

  void gather() {
    Index b = 0;
    for (Index row : batches_.rows(step_)) {
      std::copy_n(digits_.data.train.pixels.data() + row * Digits::kPixels, Digits::kPixels,
                  images_.data() + b * Digits::kPixels);
      labels_[static_cast<std::size_t>(b)] = digits_.data.train.labels[static_cast<std::size_t>(row)];
      if (!teacher_.empty()) teacher_labels_[static_cast<std::size_t>(b)] = teacher_[static_cast<std::size_t>(row)];
      ++b;
    }
  }

  std::unique_ptr<model::Vision<float>> model_;
  Recipe recipe_;
  const Digits& digits_;
  std::span<const Index> teacher_;
  train::Batches batches_;
  Index steps_, step_ = 0;
  train::Cosine schedule_;
  std::vector<nn::Parameter<float>*> parameters_;
  train::AdamW<float> optimiser_;
  Tensor<float, 4> images_;                     // [batch,1,8,8]
  Tensor<float, 3> logits_, dlogits_;           // [classifiers,batch,classes]
  std::vector<Index> labels_, teacher_labels_;  // [batch]
  double loss_ = 0;
};

}  // namespace lion::examples::digits
