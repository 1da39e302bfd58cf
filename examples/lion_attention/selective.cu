#include "lion_attention/on_gpu_impl.hpp"

namespace lion::examples {
template void attend_on_gpu<mask::Selective>(const AttentionRun&, const AttentionCall<mask::Selective, float>&);
}  // namespace lion::examples
