#include "lion_attention/operator_impl.hpp"

namespace lion::examples {
template void run_attention<mask::Linear, float>(const AttentionRun&);
template void run_attention<mask::Linear, double>(const AttentionRun&);
}  // namespace lion::examples
