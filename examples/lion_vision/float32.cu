#include "lion_vision/on_gpu_impl.hpp"

namespace lion::examples {
template void forward_on_gpu<float>(const model::Vision<float>&, const View<const float, 4>&, const View<float, 2>&);
}  // namespace lion::examples
