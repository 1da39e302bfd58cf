#include "lion_mlm/on_gpu_impl.hpp"

namespace lion::examples {
template void forward_on_gpu<bfloat16>(const model::MaskedLanguage<float>&, const model::TextInputs&,
                                       std::span<const Index>, const View<float, 2>&);
}  // namespace lion::examples
