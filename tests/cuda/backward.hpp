#pragma once
// Instantiations of the backward pass.

#include "lion/cuda.hpp"
#include "lion/mask/gated_selective.hpp"

#define LION_BACKWARD(mask_type, form_type, normaliser, way, T)                                    \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::backward<T>(      \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const AttentionUpstream<T>&, \
      const AttentionGradients<T>&, const MaskGradients<mask_type, T>&, Workspace&, const cuda::Stream&) const;

#define LION_SEGMENTS(mask_type, form_type, normaliser, way, T)                                                  \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::summarise<T>(                   \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const SegmentSummary<accumulator_t<T>>&,   \
      const cuda::Stream&) const;                                                                                \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::forward_segment<T>(             \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const Incoming<accumulator_t<T>>&,         \
      const AttentionOutputs<T>&, Workspace&, const cuda::Stream&) const;                                        \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::summarise_backward<T>(          \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const AttentionUpstream<T>&,               \
      const SegmentSummary<accumulator_t<T>>&, Workspace&, const cuda::Stream&) const;                           \
  template void Attention<mask_type, form_type, backend::Cuda, normaliser, way>::backward_segment<T>(            \
      const AttentionInputs<T>&, const MaskParameters<mask_type, T>&, const IncomingBackward<accumulator_t<T>>&, \
      const AttentionUpstream<T>&, const AttentionGradients<T>&, const MaskGradients<mask_type, T>&, Workspace&, \
      const cuda::Stream&) const;
