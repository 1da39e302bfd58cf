// Double is not here, as in forward_float.cu.
#include "cuda/backward.hpp"

namespace lion {

LION_BACKWARD(mask::Decay, form::Auto, normalise::None, direction::Forward, float)
LION_SEGMENTS(mask::Decay, form::Auto, normalise::None, direction::Forward, float)
template void Attention<mask::Decay, form::Auto, backend::Cuda, normalise::None, direction::Forward>::step<float>(
    const AttentionInputs<float>&, const MaskParameters<mask::Decay, float>&, const View<float, 4>&,
    const AttentionOutputs<float>&, Workspace&, const cuda::Stream&) const;
template void cuda::combine<float>(const cuda::Stream&, const SegmentSummary<const float>&,
                                   const SegmentSummary<const float>&, const SegmentSummary<float>&);

}  // namespace lion
