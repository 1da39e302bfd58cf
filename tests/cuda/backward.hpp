#pragma once
// Instantiations of the backward pass.

#include "lion/cuda.hpp"
#include "lion/mask/gated_selective.hpp"

#define LION_BACKWARD(mask_type, form_type, normaliser, way, T)                                    \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::backward<T>(      \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const AttentionUpstream<T>&, \
      const AttentionGradients<T>&, const MaskGradients<mask_type, T>&, Workspace&, const cuda::Stream&) const;
