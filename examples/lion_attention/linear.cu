#include "lion_attention/on_gpu_impl.hpp"

namespace lion::examples {
template void attend_on_gpu<mask::Linear>(const AttentionRun&, const AttentionCall<mask::Linear, float>&);
}  // namespace lion::examples
