#pragma once
/// Training on a GPU; each type is compiled in a file of its own, by nvcc.

#include <memory>

#include "lion_vision/trainer.hpp"

namespace lion::examples {

/// In T (float or bfloat16). Throws ArgumentError that names an option of the model that does not train there.
template <class T>
std::unique_ptr<Trainer> trainer_on_gpu(model::Vision<float>& model, train::AdamW<float>& optimiser,
                                        const StepOptions& options, Executor executor);

}  // namespace lion::examples
