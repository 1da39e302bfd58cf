#pragma once
/// The products of linear layers compiled once in a program, beside the operator's kernels and in the same manner
/// (cpu/kernels.hpp): with LION_EXTERN_KERNELS defined everywhere, one file says LION_INSTANTIATE_PRODUCTS(float), and
/// double if it is used.

#include "lion/nn/product.hpp"

#define LION_PRODUCTS(PREFIX, S)                                                                                       \
  PREFIX template void lion::nn::linear_product<S>(const lion::View<const S, 2>&, lion::nn::Layers<const S>,           \
                                                   lion::nn::Layers<const S>, const lion::View<const S, 2>&,           \
                                                   const lion::View<S, 2>&, lion::nn::Then<S>, const lion::Executor&); \
  PREFIX template void lion::nn::linear_product_input_gradient<S>(                                                     \
      const lion::View<const S, 2>&, lion::nn::Layers<const S>, const lion::View<S, 2>&, bool, const lion::Executor&); \
  PREFIX template void lion::nn::linear_product_weight_gradient<S>(const lion::View<const S, 2>&,                      \
                                                                   const lion::View<const S, 2>&, lion::nn::Layers<S>, \
                                                                   lion::nn::Layers<S>, const lion::Executor&);

#define LION_PACKED_PRODUCT(PREFIX)                                                                  \
  PREFIX template void lion::nn::packed_product<float>(                                              \
      const lion::View<const float, 2>&, lion::nn::Layers<const lion::cpu::PackedMatrix>,            \
      lion::nn::Layers<const float>, const lion::View<const float, 2>&, const lion::View<float, 2>&, \
      lion::nn::Then<float>, const lion::Executor&);
#define LION_PACKED_PRODUCT_OF_float LION_PACKED_PRODUCT()
#define LION_PACKED_PRODUCT_OF_double

#define LION_INSTANTIATE_PRODUCTS(S) LION_PRODUCTS(, S) LION_PACKED_PRODUCT_OF_##S

#ifdef LION_EXTERN_KERNELS
LION_PRODUCTS(extern, float)
LION_PACKED_PRODUCT(extern)
LION_PRODUCTS(extern, double)
#endif
