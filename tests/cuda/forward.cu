// Instantiations that touch every kernel of the forward pass. Double is not among them: at width 128 its sums are more
// than the registers, and it spills.

#include "lion/cuda.hpp"
#include "lion/mask/gated_selective.hpp"

namespace lion {

#define LION_FORWARD(mask_type, form_type, normaliser, way, T)                                                \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::forward<T>(                  \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const AttentionOutputs<T>&, Workspace&, \
      const cuda::Stream&) const;

LION_FORWARD(mask::Selective, form::Chunk, normalise::RowSum, direction::Both, bfloat16)
LION_FORWARD(mask::Decay, form::Full, normalise::None, direction::Both, half)
LION_FORWARD(mask::Linear, form::Auto, normalise::RowSum, direction::Both, float)
LION_FORWARD(mask::GatedSelective, form::Rnn, normalise::None, direction::Forward, float)

}  // namespace lion
