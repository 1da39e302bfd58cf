#pragma once
// Instantiations of the forward pass.

#include "lion/cuda.hpp"
#include "lion/mask/gated_selective.hpp"

#define LION_FORWARD(mask_type, form_type, normaliser, way, T)                                                \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::forward<T>(                  \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const AttentionOutputs<T>&, Workspace&, \
      const cuda::Stream&) const;
