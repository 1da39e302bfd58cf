#include "lion_vision/trainer_on_gpu_impl.hpp"

namespace lion::examples {
template std::unique_ptr<Trainer> trainer_on_gpu<bfloat16>(model::Vision<float>&, train::AdamW<float>&,
                                                           const StepOptions&, Executor);
}  // namespace lion::examples
