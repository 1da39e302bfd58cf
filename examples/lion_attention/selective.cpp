#include "lion_attention/operator_impl.hpp"

namespace lion::examples {
template void run_attention<mask::Selective, float>(const AttentionRun&);
template void run_attention<mask::Selective, double>(const AttentionRun&);
}  // namespace lion::examples
