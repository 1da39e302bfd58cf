#pragma once
/// train::AdamW and clip_grad_norm on the GPU: of the arrays of a model in training, in four kernels.

#include <cmath>
#include <cstring>

#include "lion/nn/cuda/trained_weights.hpp"
#include "lion/train/adamw.hpp"

namespace lion::cuda {

/// What a step knows beside the weights, in memory of the device, so that a graph of it may be launched again.
struct AdamWProgress {
  Index steps = 0;                          ///< taken so far
  double beta1_power = 1, beta2_power = 1;  ///< β^steps
  double norm = 0;                          ///< of the last step's gradients, if max_norm is not 0
  float shrink = 1;                         ///< what they are clipped by
  train::AdamWStep<float> step;
};

/// The sum of the squares of each stretch of the gradients.
struct SquaresKernel {
  static constexpr int kThreads = 256;
  static constexpr Index kStretches = 1024;
  static constexpr std::size_t kSharedBytes = kThreads / 32 * sizeof(double);

  struct Parameters {
    const float* gradients;
    double* sums;  // [kStretches]
    Index count;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    double sum = 0;
    for (Index i = dev.block(0) * kThreads + dev.thread(); i < p.count; i += kStretches * kThreads) {
      const double g = static_cast<double>(p.gradients[i]);
      sum += g * g;
    }
    sum = sum_of_warp(dev, sum);
    double* of_warps = reinterpret_cast<double*>(dev.shared());
    if (dev.lane() == 0) of_warps[dev.warp()] = sum;
    dev.barrier();
    if (dev.thread() != 0) return;
    for (int w = 1; w < kThreads / 32; ++w) sum += of_warps[w];
    p.sums[dev.block(0)] = sum;
  }
};

/// A step begins: how far gradients are clipped, and what it does to every weight. One warp.
struct BeginStepKernel {
  static constexpr int kThreads = 32;

  struct Parameters {
    AdamWProgress* progress;
    const double* learning_rate;
    train::AdamWOptions options;
    const double* sums;  // [kStretches], or none
    double max_norm;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    double square = 0;
    if (p.sums) {
      for (Index i = dev.lane(); i < SquaresKernel::kStretches; i += 32) square += p.sums[i];
      square = sum_of_warp(dev, square);
    }
    if (dev.lane() != 0) return;
    AdamWProgress& progress = *p.progress;
    progress.shrink = 1;
    if (p.sums) {  // as train::clip_grad_norm
      progress.norm = Dev::sqrt(square);
      const double factor = p.max_norm / (progress.norm + 1e-6);
      if (factor < 1 && factor > 0) progress.shrink = static_cast<float>(factor);  // 0, NaN: the norm is not finite
    }
    ++progress.steps;
    progress.beta1_power *= p.options.beta1;
    progress.beta2_power *= p.options.beta2;
    progress.step = train::AdamWStep<float>(p.options, *p.learning_rate, progress.beta1_power, progress.beta2_power);
  }
};

/// The step, after which the gradients are 0: a thread for four weights.
template <class T>
struct AdamWKernel {
  static constexpr int kThreads = 256, kPack = 4;

  struct Parameters {
    TrainedWeights<T> weights;
    float *first, *second;
    const AdamWProgress* progress;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index at = (dev.block(0) * kThreads + dev.thread()) * kPack;
    if (at >= p.weights.count) return;
    const train::AdamWStep<float> step = p.progress->step;
    const float shrink = p.progress->shrink;
    float w[kPack], g[kPack], m[kPack], v[kPack];
    load_pack<Dev>(p.weights.values + at, w);
    load_pack<Dev>(p.weights.gradients + at, g);
    load_pack<Dev>(p.first + at, m);
    load_pack<Dev>(p.second + at, v);
    LION_UNROLL
    for (int i = 0; i < kPack; ++i) {
      step(at < p.weights.decayed, shrink * g[i], m[i], v[i], w[i]);
      g[i] = 0;
    }
    store_pack<Dev>(p.weights.values + at, w);
    store_pack<Dev>(p.weights.gradients + at, g);
    store_pack<Dev>(p.first + at, m);
    store_pack<Dev>(p.second + at, v);
    if constexpr (!std::same_as<T, float>) store_pack<Dev>(p.weights.rounded + at, w);
  }
};

/// AdamW with the moments of a model in training, in `Memory` of the device; the same arithmetic as train::AdamW.
template <class T, class Memory>
class AdamWIn {
 public:
  /// Gradients are clipped to max_norm as train::clip_grad_norm clips them, unless it is 0; of infinity they stay as
  /// they are, and their norm is known. Throws ArgumentError that names a wrong option.
  AdamWIn(const TrainedMemory<T, Memory>& model, const train::AdamWOptions& options, double max_norm)
      : options_((options.check(), options)), max_norm_(max_norm), count_(model.weights().count) {
    if (!(max_norm >= 0)) {
      throw ArgumentError("AdamW: max_norm is " + std::to_string(max_norm) + ", expected a value of at least 0");
    }
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(count_);
    first_ = Memory(bytes);
    second_ = Memory(bytes);
    progress_ = Memory(sizeof(AdamWProgress));
    if (max_norm_ > 0) sums_ = Memory(sizeof(double) * SquaresKernel::kStretches);
    const Tensor<float, 1> none({count_});
    first_.upload(none.data());
    second_.upload(none.data());
    upload_steps(0);
  }

  /// One step along the gradients, which are 0 afterwards. The learning rate is in memory of the device. Starts kernels
  /// and returns.
  template <class Queue>
  void step(const TrainedWeights<T>& weights, const double* learning_rate, const Queue& queue) {
    double* sums = nullptr;
    if (max_norm_ > 0) {
      sums = reinterpret_cast<double*>(sums_.data());
      queue.template launch<SquaresKernel>("squares", {SquaresKernel::kStretches, 1, 1}, SquaresKernel::kSharedBytes,
                                           {weights.gradients, sums, weights.count});
    }
    auto* progress = reinterpret_cast<AdamWProgress*>(progress_.data());
    queue.template launch<BeginStepKernel>("begin_step", {1, 1, 1}, 0,
                                           {progress, learning_rate, options_, sums, max_norm_});
    using Kernel = AdamWKernel<T>;
    queue.template launch<Kernel>("adamw", {blocks_of(weights.count, Kernel::kThreads * Kernel::kPack), 1, 1}, 0,
                                  {weights, moments(first_), moments(second_), progress});
  }

  /// Steps so far, and the last norm: copied from the device, once what was started has ended.
  AdamWProgress progress() const {
    AdamWProgress progress;
    progress_.download(&progress);
    return progress;
  }

  /// What train::AdamW would remember of the parameters that lie in these places; likewise.
  train::AdamWState<float> state(const TrainedMemory<T, Memory>& model) const {
    train::AdamWState<float> state;
    state.steps = progress().steps;
    Tensor<float, 1> host({count_});
    for (const auto& [memory, tensors] : {std::pair(&first_, &state.first), std::pair(&second_, &state.second)}) {
      memory->download(host.data());
      for (const auto& place : model.places()) {
        tensors->emplace_back(Shape<1>{place.size});
        std::copy_n(host.data() + place.begin, place.size, tensors->back().data());
      }
    }
    return state;
  }

  /// Goes on from a saved state. Throws ArgumentError if it is of another model.
  void restore(const TrainedMemory<T, Memory>& model, const train::AdamWState<float>& state) {
    if (state.steps < 0) {
      throw ArgumentError("AdamW: steps is " + std::to_string(state.steps) + ", expected at least 0");
    }
    const auto check = [&](const char* name, const std::vector<Tensor<float, 1>>& tensors) {
      require_shape<1>("AdamW", name, {static_cast<Index>(tensors.size())}, {static_cast<Index>(model.places().size())},
                       " to match the parameters");
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        require_shape<1>("AdamW", name, tensors[i].shape(), {model.places()[i].size},
                         (" to match " + model.places()[i].name).c_str());
      }
    };
    check("first", state.first);
    check("second", state.second);
    Tensor<float, 1> host({count_});
    const auto upload = [&](Memory& memory, const std::vector<Tensor<float, 1>>& tensors) {
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        std::copy_n(tensors[i].data(), tensors[i].size(), host.data() + model.places()[i].begin);
      }
      memory.upload(host.data());
    };
    upload(first_, state.first);
    upload(second_, state.second);
    upload_steps(state.steps);
  }

 private:
  static float* moments(const Memory& memory) { return reinterpret_cast<float*>(memory.data()); }

  void upload_steps(Index steps) {
    AdamWProgress progress{};
    progress.steps = steps;
    progress.beta1_power = std::pow(options_.beta1, static_cast<double>(steps));
    progress.beta2_power = std::pow(options_.beta2, static_cast<double>(steps));
    progress_.upload(&progress);
  }

  train::AdamWOptions options_;
  double max_norm_;
  Index count_;
  Memory first_, second_, progress_, sums_;
};

}  // namespace lion::cuda
