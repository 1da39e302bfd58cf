// On tensor cores.
#include "cuda/backward.hpp"

namespace lion {

LION_BACKWARD(mask::GatedSelective, form::Chunk, normalise::RowSum, direction::Both, half)

}  // namespace lion
