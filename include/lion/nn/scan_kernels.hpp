#pragma once
/// Hydra's scans compiled once in a program, beside the operator's kernels and in the same manner (cpu/kernels.hpp):
/// with LION_EXTERN_KERNELS defined everywhere, one file says LION_INSTANTIATE_SCANS(float), and double if it is used.

#include "lion/cpu/backward_call.hpp"
#include "lion/mask/gated_selective.hpp"

#define LION_SCANS_OF(PREFIX, T, RECURRENT, DIRECTION)                                               \
  PREFIX template class lion::cpu::ForwardCall<lion::cpu::CallTypes<                                 \
      T, lion::mask::GatedSelective, RECURRENT, lion::normalise::None, lion::direction::DIRECTION>>; \
  PREFIX template class lion::cpu::BackwardCall<lion::cpu::CallTypes<                                \
      T, lion::mask::GatedSelective, RECURRENT, lion::normalise::None, lion::direction::DIRECTION>>;

#define LION_SCANS(PREFIX, T)               \
  LION_SCANS_OF(PREFIX, T, false, Forward)  \
  LION_SCANS_OF(PREFIX, T, true, Forward)   \
  LION_SCANS_OF(PREFIX, T, false, Backward) \
  LION_SCANS_OF(PREFIX, T, true, Backward)

#define LION_INSTANTIATE_SCANS(T) LION_SCANS(, T)

#ifdef LION_EXTERN_KERNELS
LION_SCANS(extern, float)
LION_SCANS(extern, double)
#endif
