// On tensor cores.
#include "cuda/forward.hpp"

namespace lion {

LION_FORWARD(mask::Selective, form::Chunk, normalise::RowSum, direction::Both, bfloat16)
LION_FORWARD(mask::Decay, form::Full, normalise::None, direction::Both, half)

}  // namespace lion
