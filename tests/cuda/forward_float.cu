// Double is not here: at width 128 its sums are more than the registers, and it spills.
#include "cuda/forward.hpp"

namespace lion {

LION_FORWARD(mask::Linear, form::Auto, normalise::RowSum, direction::Both, float)
LION_FORWARD(mask::GatedSelective, form::Rnn, normalise::None, direction::Forward, float)

}  // namespace lion
