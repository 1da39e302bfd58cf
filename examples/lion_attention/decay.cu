#include "lion_attention/on_gpu_impl.hpp"

namespace lion::examples {
template void attend_on_gpu<mask::Decay>(const AttentionRun&, const AttentionCall<mask::Decay, float>&);
}  // namespace lion::examples
