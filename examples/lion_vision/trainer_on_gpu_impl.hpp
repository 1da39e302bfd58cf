#pragma once
/// The body of trainer_on_gpu.

#include "lion/train/cuda.hpp"
#include "lion_vision/device_trainer.hpp"
#include "lion_vision/trainer_on_gpu.hpp"

namespace lion::examples {

/// The current GPU: its default stream, and cuBLASLt.
class Gpu {
 public:
  using Memory = cuda::Memory;
  cuda::Queue queue() { return {{}, &blas_}; }

 private:
  cuda::Blas blas_;
};

template <class T>
std::unique_ptr<Trainer> trainer_on_gpu(model::Vision<float>& model, train::AdamW<float>& optimiser,
                                        const StepOptions& options, Executor executor) {
  return std::make_unique<DeviceTrainer<T, Gpu>>(model, optimiser, options, executor);
}

}  // namespace lion::examples
