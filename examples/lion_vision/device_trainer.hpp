#pragma once
/// A trainer by kernels. `Device` has the type `Memory` of what owns memory there and `queue()`, which starts kernels
/// and products.

#include <concepts>
#include <memory>
#include <optional>
#include <utility>

#include "lion/model/cuda/vision.hpp"
#include "lion/train/cuda/vision.hpp"
#include "lion_vision/trainer.hpp"

namespace lion::examples {

/// In T, float or bfloat16. A step copies its batch to the device and its loss back.
template <class T, class Device>
class DeviceTrainer : public Trainer {
 public:
  using Memory = typename Device::Memory;

  /// Throws ArgumentError that names an option of the model that does not train there.
  DeviceTrainer(model::Vision<float>& model, train::AdamW<float>& optimiser, const StepOptions& options,
                Executor executor)
      : model_(model),
        optimiser_(optimiser),
        executor_(executor),
        training_(model, {optimiser.options(), options.clip, options.label_smoothing}),
        rate_(sizeof(double)),
        loss_(sizeof(double)) {
    training_.restore(optimiser.state());
  }

  double step(const train::ImageBatch& batch, double learning_rate) override {
    const Index samples = batch.images.extent(0);
    if (!room_ || room_->samples != samples) {
      room_.reset();
      room_.emplace(batch.images, model_.config().num_classes, training_.workspace_size(samples));
    }
    upload(batch.images, room_->images);
    cuda::VisionBatch<T> there{
        View<const T, 4>(reinterpret_cast<const T*>(room_->images.data()), batch.images.shape())};
    if (batch.targets.size() > 0) {
      room_->targets.upload(batch.targets.data());
      there.targets = {reinterpret_cast<const float*>(room_->targets.data()), batch.targets.shape()};
    } else {
      room_->labels.upload(batch.labels.data());
      there.labels = {reinterpret_cast<const Index*>(room_->labels.data()), batch.labels.size()};
    }
    rate_.upload(&learning_rate);
    Workspace workspace(room_->scratch.data(), room_->bytes);
    training_.step(there, reinterpret_cast<const double*>(rate_.data()), reinterpret_cast<double*>(loss_.data()),
                   workspace, device_.queue());
    double loss = 0;
    loss_.download(&loss);
    return loss;
  }

  void download() override {
    training_.download(model_);
    optimiser_.restore(training_.state());
    inference_.reset();
  }

  void classify(const View<const float, 4>& images, const View<float, 2>& logits) override {
    if (!inference_) inference_.emplace(model_);
    Memory in(sizeof(T) * static_cast<std::size_t>(count(images.shape())));
    Memory out(sizeof(T) * static_cast<std::size_t>(count(logits.shape())));
    upload(images, in);
    const std::size_t bytes = inference_->workspace_size(images.shape());
    Memory scratch(bytes);
    Workspace workspace(scratch.data(), bytes);
    inference_->forward(View<const T, 4>(reinterpret_cast<const T*>(in.data()), images.shape()),
                        View<T, 2>(reinterpret_cast<T*>(out.data()), logits.shape()), workspace, device_.queue());
    const auto rounded = std::make_unique<T[]>(static_cast<std::size_t>(count(logits.shape())));
    out.download(rounded.get());
    for (Index i = 0; i < count(logits.shape()); ++i) {
      logits.data()[i] = static_cast<float>(rounded[static_cast<std::size_t>(i)]);
    }
  }

 private:
  /// Of a batch's size: kept from step to step.
  struct Room {
    Index samples;
    std::size_t bytes;
    Memory images, labels, targets, scratch;

    Room(const Tensor<float, 4>& of, Index classes, std::size_t workspace)
        : samples(of.extent(0)),
          bytes(workspace),
          images(sizeof(T) * static_cast<std::size_t>(of.size())),
          labels(sizeof(Index) * static_cast<std::size_t>(samples)),
          targets(sizeof(float) * static_cast<std::size_t>(samples * classes)),
          scratch(workspace) {}
  };

  /// Dense images, in T.
  void upload(const View<const float, 4>& images, Memory& to) {
    if constexpr (std::same_as<T, float>) {
      to.upload(images.data());
    } else {
      const Index size = count(images.shape()), of_one = images.extent(0) > 0 ? size / images.extent(0) : 0;
      if (rounded_.size() != size) rounded_ = Tensor<T, 1>({size});
      executor_.parallel_for(images.extent(0), [&](Index b) {
        for (Index i = b * of_one; i < (b + 1) * of_one; ++i) rounded_(i) = static_cast<T>(images.data()[i]);
      });
      to.upload(rounded_.data());
    }
  }

  model::Vision<float>& model_;
  train::AdamW<float>& optimiser_;
  Executor executor_;
  Device device_;
  cuda::VisionTrainingIn<T, Memory> training_;
  std::optional<cuda::VisionIn<T, Memory>> inference_;  // of the weights of the last download
  std::optional<Room> room_;
  Memory rate_, loss_;
  Tensor<T, 1> rounded_;
};

}  // namespace lion::examples
