// A file of CUDA that computes on the CPU as well, as that of an engine that picks the backend when it runs. Compiled
// alone: nvcc's front end must take the headers of the CPU, vectors and all.

#include "lion/cuda.hpp"
#include "lion/lion.hpp"

namespace lion {

#define LION_STEP(mask_type, T)                                                                              \
  template void Attention<mask_type, form::Chunk, backend::Cpu>::forward<T>(                                 \
      const AttentionInputs<T>&, const std::type_identity_t<MaskParameters<mask_type, T>>&,                  \
      const std::type_identity_t<AttentionOutputs<T>>&) const;                                               \
  template void Attention<mask_type, form::Chunk, backend::Cpu>::backward<T>(                                \
      const AttentionInputs<T>&, const std::type_identity_t<MaskParameters<mask_type, T>>&,                  \
      const std::type_identity_t<AttentionUpstream<T>>&, const std::type_identity_t<AttentionGradients<T>>&, \
      const std::type_identity_t<MaskGradients<mask_type, T>>&) const;

LION_STEP(mask::Decay, float)
LION_STEP(mask::Selective, bfloat16)
#undef LION_STEP

template void Attention<mask::Decay, form::Chunk, backend::Cuda>::forward<float>(
    const AttentionInputs<float>&, const MaskParameters<mask::Decay, float>&, const AttentionOutputs<float>&,
    Workspace&, const cuda::Stream&) const;

}  // namespace lion
