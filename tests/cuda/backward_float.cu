// Double is not here, as in forward_float.cu.
#include "cuda/backward.hpp"

namespace lion {

LION_BACKWARD(mask::Decay, form::Auto, normalise::None, direction::Forward, float)

}  // namespace lion
