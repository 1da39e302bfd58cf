#include "lion_attention/operator_impl.hpp"

namespace lion::examples {
template void run_attention<mask::Decay, float>(const AttentionRun&);
template void run_attention<mask::Decay, double>(const AttentionRun&);
}  // namespace lion::examples
