// The kernels of the models' layers, and the calls of cuBLASLt.
#include "cuda/kernel.hpp"
#include "lion/cpu/exponential.hpp"
#include "lion/cpu/rows.hpp"
#include "lion/feature/feature.hpp"
#include "lion/nn/cuda/activation.hpp"
#include "lion/nn/cuda/blas.hpp"
#include "lion/nn/cuda/decays.hpp"
#include "lion/nn/cuda/features.hpp"
#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/patches.hpp"
#include "lion/nn/cuda/pool.hpp"
#include "lion/nn/cuda/softmax_attention.hpp"
#include "lion/nn/cuda/text_embedding.hpp"

using namespace lion;

// The CPU in the same file: vectors whose types nvcc could not hand on to the host's compiler.
void vectors_of_the_host(float* x, bfloat16* stored) {
  cpu::exponentials(x, cpu::kWidth<float>);
  cpu::store_rounded<float>(stored, cpu::load(x));
  cpu::store(x, cpu::load_converted<float>(stored));
}

#define LION_ROW_KERNELS(T, n)                                                \
  LION_INSTANTIATE_KERNEL(cuda::LayerNormKernel<T, cuda::RowsInMemory<T>, n>) \
  LION_INSTANTIATE_KERNEL(cuda::LayerNormKernel<T, cuda::TextRows<T>, n>)     \
  LION_INSTANTIATE_KERNEL(cuda::DecaysKernel<T, n>)                           \
  LION_INSTANTIATE_KERNEL(cuda::UnfoldKernel<T, n>)                           \
  LION_INSTANTIATE_KERNEL(cuda::PlaceKernel<T, n>)                            \
  LION_INSTANTIATE_KERNEL(cuda::GatherRowsKernel<T, n>)

#define LION_LAYER_KERNELS(T)                                                        \
  LION_ROW_KERNELS(T, cuda::kPack<T>)                                                \
  LION_INSTANTIATE_KERNEL(cuda::FeatureKernel<T, feature::ShiftedElu, 2>)            \
  LION_INSTANTIATE_KERNEL(cuda::FeatureKernel<T, feature::NormalisedShiftedSilu, 2>) \
  LION_INSTANTIATE_KERNEL(cuda::ActivationKernel<T, cuda::Gelu>)                     \
  LION_INSTANTIATE_KERNEL(cuda::ActivationKernel<T, cuda::Tanh>)                     \
  LION_INSTANTIATE_KERNEL(cuda::SoftmaxKernel<T, 32>)                                \
  LION_INSTANTIATE_KERNEL(cuda::SoftmaxKernel<T, 64>)                                \
  LION_INSTANTIATE_KERNEL(cuda::SoftmaxKernel<T, 128>)                               \
  LION_INSTANTIATE_KERNEL(cuda::MeanKernel<T>)                                       \
  template void cuda::Queue::product(const cuda::Product<T>&) const;

LION_LAYER_KERNELS(float)
LION_LAYER_KERNELS(bfloat16)
LION_LAYER_KERNELS(lion::half)
LION_ROW_KERNELS(bfloat16, 1)
LION_INSTANTIATE_KERNEL(cuda::FeatureKernel<bfloat16, feature::NormalisedShiftedSilu, 1>)
