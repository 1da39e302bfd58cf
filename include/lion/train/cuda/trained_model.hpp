#pragma once
/// What models in training on the GPU have in common: weights, gradients and moments, and the step along them.

#include <concepts>
#include <optional>
#include <string>

#include "lion/train/cuda/adamw.hpp"

namespace lion::cuda {

/// The weights of a `Host`, a model on the CPU, with their gradients and moments in `Memory` of the device
/// (nn/cuda/trained_weights.hpp). What is derived from it adds to the gradients.
template <class Host, class T, class Memory>
class TrainedModel {
 public:
  using A = accumulator_t<T>;
  static_assert(!std::same_as<T, half>,
                "lion::cuda: a model trains in float or lion::bfloat16, whose range holds gradients");

  TrainedModel(const TrainedModel&) = delete;
  TrainedModel& operator=(const TrainedModel&) = delete;

  /// A step of AdamW along the gradients, which are 0 afterwards. The learning rate is in memory of the device.
  template <class Queue>
  void update(const double* learning_rate, const Queue& queue) {
    require_memory("learning_rate", learning_rate);
    optimiser_->step(weights(), learning_rate, queue);
  }

  /// The gradients are 0, without a step: what `backward` has added is forgotten.
  template <class Queue>
  void zero_gradients(const Queue& queue) {
    clear(queue, View<A, 2>(weights().gradients, {1, weights().count}));
  }

  // These copy from or to the device and wait for that, but not for a stream: first let what was started end.

  /// The weights to a model of the same configuration.
  void download(Host& to) const { memory_.download_values(to.parameters()); }
  /// The gradients, likewise.
  void download_gradients(Host& to) const { memory_.download_gradients(to.parameters()); }
  /// Steps so far, and the norm that the last step's gradients had, which is known if max_norm is not 0.
  AdamWProgress progress() const { return optimiser_->progress(); }
  /// What AdamW remembers, in the order of the model's parameters: a train::AdamW of theirs restores it.
  train::AdamWState<float> state() const { return optimiser_->state(memory_); }
  /// Goes on from such a state. Throws ArgumentError if it is of another model.
  void restore(const train::AdamWState<float>& state) { optimiser_->restore(memory_, state); }

 protected:
  /// `name` of the model in errors.
  explicit TrainedModel(const char* name) : name_(name) {}
  ~TrainedModel() = default;

  /// The layers that `make(image)` makes of the weights of `host`, which are uploaded.
  template <class F>
  auto upload(const Host& host, const train::AdamWOptions& adamw, double max_norm, F&& make) {
    auto layers = memory_.upload(host.parameters(), make);
    optimiser_.emplace(memory_, adamw, max_norm);
    return layers;
  }

  const TrainedWeights<T>& weights() const { return memory_.weights(); }

  void require_memory(const char* argument, const double* data) const {
    if (data) return;
    throw ArgumentError(std::string(name_) + ": " + argument + " is null, expected memory of the device");
  }

 private:
  const char* name_;
  TrainedMemory<T, Memory> memory_;
  std::optional<AdamWIn<T, Memory>> optimiser_;
};

}  // namespace lion::cuda
