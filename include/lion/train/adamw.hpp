#pragma once
/// The optimiser of the paper's recipes.

#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/core/config.hpp"
#include "lion/core/executor.hpp"
#include "lion/nn/parameter.hpp"
#include "lion/train/element_runs.hpp"

namespace lion::train {

struct AdamWOptions {
  double beta1 = 0.9;          ///< in [0, 1)
  double beta2 = 0.999;        ///< in [0, 1)
  double epsilon = 1e-8;       ///< ≥ 0
  double weight_decay = 0.01;  ///< ≥ 0; only where a parameter's `decay` is set
  /// ≥ 0; 0: a step decays by learning rate × weight_decay, as torch's AdamW does. Else the peak of the learning rate,
  /// where a step decays by all of weight_decay: decay follows the schedule alone (DecoupledAdamW of MosaicBERT, whose
  /// weight_decay is therefore as small as 1e-5).
  double peak_learning_rate = 0;

  /// The recipe of the paper's masked language models (math.md §8).
  static AdamWOptions masked_language(double peak_learning_rate) { return {0.9, 0.98, 1e-6, 1e-5, peak_learning_rate}; }

  /// Throws ArgumentError that names the option.
  void check() const {
    const auto fraction = [](const char* name, double beta) {
      if (beta >= 0 && beta < 1) return;
      throw ArgumentError(std::string("AdamW: ") + name + " is " + std::to_string(beta) +
                          ", expected a value in [0, 1)");
    };
    const auto positive = [](const char* name, double value) {
      if (value >= 0 && std::isfinite(value)) return;
      throw ArgumentError(std::string("AdamW: ") + name + " is " + std::to_string(value) +
                          ", expected a finite value of at least 0");
    };
    fraction("beta1", beta1);
    fraction("beta2", beta2);
    positive("epsilon", epsilon);
    positive("weight_decay", weight_decay);
    positive("peak_learning_rate", peak_learning_rate);
  }

  /// f(name, value) for each option.
  template <class F>
  void for_each(F&& f) const {
    f("beta1", beta1);
    f("beta2", beta2);
    f("epsilon", epsilon);
    f("weight_decay", weight_decay);
    f("peak_learning_rate", peak_learning_rate);
  }
};

/// One step of AdamW: the same for every weight, here and on a GPU.
template <Real S>
struct AdamWStep {
  S keep;  ///< of a weight that decays
  S first, first_rest, second, second_rest, rate, correction, epsilon;

  AdamWStep() = default;
  /// `beta1_power`, `beta2_power`: β^t of step t.
  LION_HOST_DEVICE AdamWStep(const AdamWOptions& o, double learning_rate, double beta1_power, double beta2_power)
      : keep(static_cast<S>(1 - o.weight_decay *
                                    (o.peak_learning_rate > 0 ? learning_rate / o.peak_learning_rate : learning_rate))),
        first(static_cast<S>(o.beta1)),
        first_rest(static_cast<S>(1 - o.beta1)),
        second(static_cast<S>(o.beta2)),
        second_rest(static_cast<S>(1 - o.beta2)),
        rate(static_cast<S>(learning_rate / (1 - beta1_power))),
        correction(static_cast<S>(1 / std::sqrt(1 - beta2_power))),
        epsilon(static_cast<S>(o.epsilon)) {}

  LION_HOST_DEVICE void operator()(bool decays, S g, S& m, S& v, S& w) const {
    m = first * m + first_rest * g;
    v = second * v + second_rest * g * g;
    w = (decays ? keep : S(1)) * w - rate * m / (std::sqrt(v) * correction + epsilon);
  }
};

/// What AdamW remembers; write it beside the weights to go on later.
template <Real S>
struct AdamWState {
  Index steps = 0;                   ///< taken so far
  std::vector<Tensor<S, 1>> first;   ///< running mean of the gradient, one per parameter
  std::vector<Tensor<S, 1>> second;  ///< running mean of its square
};

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101) with the meaning of torch.optim.AdamW: at step t = 1, 2, …
///
///     w ← w − η·wd·w        m ← β1 m + (1−β1) g        v ← β2 v + (1−β2) g²
///     w ← w − η/(1−β1^t) · m / ( √v/√(1−β2^t) + ε )
///
/// with η/peak instead of η in the decay if a peak is given (the paper's Algorithm 2, of which torch's is a variant).
/// wd is 0 for a parameter whose `decay` is off; a parameter that has no gradient (none was made) stays as it is. The
/// parameters must outlive it.
template <Real S>
class AdamW {
 public:
  static constexpr const char* kName = "AdamW";

  explicit AdamW(std::span<nn::Parameter<S>* const> parameters, const AdamWOptions& options = {})
      : parameters_(parameters.begin(), parameters.end()), options_(options) {
    options.check();
    for (const nn::Parameter<S>* p : parameters_) {
      state_.first.emplace_back(Shape<1>{p->value.size()});
      state_.second.emplace_back(Shape<1>{p->value.size()});
    }
  }

  /// One step along the gradients, which are left as they are. Each element is computed alone: the executor changes
  /// the time only.
  void step(double learning_rate, Executor executor = {}) {
    ++state_.steps;
    const double t = static_cast<double>(state_.steps);
    const AdamWStep<S> step(options_, learning_rate, std::pow(options_.beta1, t), std::pow(options_.beta2, t));
    for_each_run(parameters_, executor, [&](std::size_t i, Index first, Index n) { update(i, first, n, step); });
  }

  void zero_grad() {
    for (nn::Parameter<S>* p : parameters_) p->grad.fill(S(0));
  }

  const std::vector<nn::Parameter<S>*>& parameters() const { return parameters_; }
  const AdamWOptions& options() const { return options_; }
  const AdamWState<S>& state() const { return state_; }

  /// Goes on from a saved state; its shapes must be those of the parameters.
  void restore(AdamWState<S> state) {
    const auto check = [&](const char* name, const std::vector<Tensor<S, 1>>& moments) {
      require_shape<1>("AdamW", name, {static_cast<Index>(moments.size())}, {static_cast<Index>(parameters_.size())},
                       " to match the parameters");
      for (std::size_t i = 0; i < moments.size(); ++i) {
        require_shape<1>("AdamW", name, moments[i].shape(), {parameters_[i]->value.size()},
                         (" to match " + parameters_[i]->name).c_str());
      }
    };
    if (state.steps < 0) {
      throw ArgumentError("AdamW: steps is " + std::to_string(state.steps) + ", expected at least 0");
    }
    check("first", state.first);
    check("second", state.second);
    state_ = std::move(state);
  }

 private:
  void update(std::size_t i, Index first, Index n, AdamWStep<S> step) {
    nn::Parameter<S>& p = *parameters_[i];
    if (p.grad.size() == 0) return;
    S* w = p.value.data() + first;
    S* m = state_.first[i].data() + first;
    S* v = state_.second[i].data() + first;
    const S* g = p.grad.data() + first;
    const bool decays = p.decay;
    for (Index j = 0; j < n; ++j) step(decays, g[j], m[j], v[j], w[j]);
  }

  std::vector<nn::Parameter<S>*> parameters_;
  AdamWOptions options_;
  AdamWState<S> state_;
};

}  // namespace lion::train
