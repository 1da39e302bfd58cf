#pragma once
/// The average of a model's weights over its training.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/core/executor.hpp"
#include "lion/nn/parameter.hpp"
#include "lion/train/element_runs.hpp"

namespace lion::train {

struct EmaOptions {
  double decay = 0.9999;  ///< in [0, 1)
  bool warmup = false;  ///< d = min(decay, (1 + t)/(10 + t)) at update t = 0, 1, …: early weights are soon forgotten
};

/// What Ema remembers; io::save_checkpoint writes it beside the weights.
struct EmaState {
  Index updates = 0;                        ///< so far
  std::vector<Tensor<double, 1>> averages;  ///< one per parameter
};

/// Exponential moving average of weights, a ← d·a + (1 − d)·w, beginning at the weights as they are. For evaluation the
/// averages are swapped in and the weights, to the bit, out again. The parameters must outlive it.
///
/// Averages are double whatever the weights are: with d near 1 a step is smaller than the rounding of a float, and the
/// average would stand still.
template <Real S>
class Ema {
 public:
  explicit Ema(std::span<nn::Parameter<S>* const> parameters, const EmaOptions& options = {})
      : parameters_(parameters.begin(), parameters.end()), options_(options) {
    if (!(options.decay >= 0 && options.decay < 1)) {
      throw ArgumentError("Ema: decay is " + std::to_string(options.decay) + ", expected a value in [0, 1)");
    }
    for (const nn::Parameter<S>* p : parameters_) {
      Tensor<double, 1> average(p->value.shape());
      std::copy_n(p->value.data(), p->size(), average.data());
      state_.averages.push_back(std::move(average));
    }
  }

  /// Takes the weights in, after a step of the optimiser. Each element is computed alone: the executor changes the time
  /// only.
  void update(Executor executor = {}) {
    require_weights("update");
    const double t = static_cast<double>(state_.updates++);
    const double decay = options_.warmup ? (std::min)(options_.decay, (1 + t) / (10 + t)) : options_.decay;
    for_each_run(parameters_, executor, [&](std::size_t i, Index first, Index n) {
      double* average = state_.averages[i].data() + first;
      const S* w = parameters_[i]->value.data() + first;
      for (Index j = 0; j < n; ++j) average[j] = decay * average[j] + (1 - decay) * static_cast<double>(w[j]);
    });
  }

  /// The model has the averages, rounded, until `swap_out`. Throws ArgumentError if it has them already.
  void swap_in() {
    require_weights("swap_in");
    std::vector<Tensor<S, 1>> weights;  // whole before the first weight changes
    for (const nn::Parameter<S>* p : parameters_) weights.push_back(p->value.clone());
    weights_ = std::move(weights);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      nn::Parameter<S>& p = *parameters_[i];
      for (Index j = 0; j < p.size(); ++j) p.value(j) = static_cast<S>(state_.averages[i](j));
    }
    swapped_ = true;
  }

  /// The model has the weights of training again. Throws ArgumentError if it has them already.
  void swap_out() {
    if (!swapped_) throw ArgumentError("Ema: swap_out was called without a swap_in before it");
    for (const nn::Parameter<S>* p : parameters_) p->require_unpacked();
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      std::copy_n(weights_[i].data(), weights_[i].size(), parameters_[i]->value.data());
    }
    weights_.clear();
    swapped_ = false;
  }

  const std::vector<nn::Parameter<S>*>& parameters() const { return parameters_; }
  const EmaOptions& options() const { return options_; }
  const EmaState& state() const { return state_; }
  /// Whether the model has the averages.
  bool swapped() const { return swapped_; }

  /// Goes on from a saved state; its shapes must be those of the parameters.
  void restore(EmaState state) {
    require_weights("restore");
    require_shape<1>("Ema", "averages", {static_cast<Index>(state.averages.size())},
                     {static_cast<Index>(parameters_.size())}, " to match the parameters");
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      require_shape<1>("Ema", "averages", state.averages[i].shape(), parameters_[i]->value.shape(),
                       (" to match " + parameters_[i]->name).c_str());
    }
    if (state.updates < 0) {
      throw ArgumentError("Ema: updates is " + std::to_string(state.updates) + ", expected at least 0");
    }
    state_ = std::move(state);
  }

 private:
  void require_weights(const char* call) const {
    if (swapped_) throw ArgumentError(std::string("Ema: ") + call + " was called between swap_in and swap_out");
  }

  std::vector<nn::Parameter<S>*> parameters_;
  EmaOptions options_;
  EmaState state_;
  std::vector<Tensor<S, 1>> weights_;  // of training, while the averages are in the model
  bool swapped_ = false;
};

}  // namespace lion::train
