#pragma once
/// The operator's kernels compiled once in a program, for those who want it: in every file that includes lion they
/// cost seconds each. Define LION_EXTERN_KERNELS for all files of the program, and in one file (or several that share
/// the masks and types among them) write
///
///     #include <lion/cpu/kernels.hpp>
///     LION_INSTANTIATE_KERNELS(float, lion::mask::Decay)
///
/// for each of float and double and of mask::Linear, mask::Decay and mask::Selective that the program uses. Covered are
/// both directions at once, with and without row sums; what is not is compiled where it is used, as ever.
///
/// Likewise, for those who use them: LION_INSTANTIATE_PRODUCTS(float) (nn/kernels.hpp), LION_INSTANTIATE_SCANS(float)
/// (nn/scan_kernels.hpp, for Hydra), and `template class` of lion::model::Vision<float>, VisionHead<float> and
/// TextEncoder<float>.

#include "lion/cpu/backward_call.hpp"
#include "lion/mask/decay.hpp"
#include "lion/mask/linear.hpp"
#include "lion/mask/selective.hpp"

#define LION_KERNELS_OF(PREFIX, T, MASK, RECURRENT, NORMALISER)                                      \
  PREFIX template class lion::cpu::ForwardCall<                                                      \
      lion::cpu::CallTypes<T, MASK, RECURRENT, lion::normalise::NORMALISER, lion::direction::Both>>; \
  PREFIX template class lion::cpu::BackwardCall<                                                     \
      lion::cpu::CallTypes<T, MASK, RECURRENT, lion::normalise::NORMALISER, lion::direction::Both>>;

#define LION_KERNELS(PREFIX, T, MASK)             \
  LION_KERNELS_OF(PREFIX, T, MASK, false, RowSum) \
  LION_KERNELS_OF(PREFIX, T, MASK, true, RowSum)  \
  LION_KERNELS_OF(PREFIX, T, MASK, false, None)   \
  LION_KERNELS_OF(PREFIX, T, MASK, true, None)

#define LION_INSTANTIATE_KERNELS(T, MASK) LION_KERNELS(, T, MASK)

#ifdef LION_EXTERN_KERNELS
LION_KERNELS(extern, float, lion::mask::Linear)
LION_KERNELS(extern, float, lion::mask::Decay)
LION_KERNELS(extern, float, lion::mask::Selective)
LION_KERNELS(extern, double, lion::mask::Linear)
LION_KERNELS(extern, double, lion::mask::Decay)
LION_KERNELS(extern, double, lion::mask::Selective)
#endif
