// The kernels of training.
#include "cuda/kernel.hpp"
#include "lion/feature/feature.hpp"
#include "lion/lion.hpp"
#include "lion/nn/cuda/activation.hpp"
#include "lion/nn/cuda/blas.hpp"
#include "lion/nn/cuda/decays.hpp"
#include "lion/nn/cuda/features.hpp"
#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/pool.hpp"
#include "lion/nn/cuda/scatter.hpp"
#include "lion/nn/cuda/softmax_gradient.hpp"
#include "lion/nn/cuda/text_embedding.hpp"
#include "lion/train/cuda/adamw.hpp"
#include "lion/train/cuda/cross_entropy.hpp"

using namespace lion;

#define LION_ROW_KERNELS(T, n)                                  \
  LION_INSTANTIATE_KERNEL(cuda::LayerNormGradientKernel<T, n>)  \
  LION_INSTANTIATE_KERNEL(cuda::DecayInputGradientKernel<T, n>) \
  LION_INSTANTIATE_KERNEL(cuda::TextSumKernel<T, n>)            \
  LION_INSTANTIATE_KERNEL(cuda::MeanGradientKernel<T, n>)

#define LION_SOFTMAX_KERNELS(T, W)                                \
  LION_INSTANTIATE_KERNEL(cuda::SoftmaxQueryGradientKernel<T, W>) \
  LION_INSTANTIATE_KERNEL(cuda::SoftmaxKeyGradientKernel<T, W>)

#define LION_SCATTER_KERNELS(T)                                            \
  LION_INSTANTIATE_KERNEL(cuda::ScatterRowsKernel<T, T, cuda::RowNumbers>) \
  LION_INSTANTIATE_KERNEL(cuda::ScatterRowsKernel<T, float, cuda::TextNumbers<T>>)

#define LION_TRAINING_KERNELS(T)                                                             \
  LION_ROW_KERNELS(T, cuda::kPack<T>)                                                        \
  LION_ROW_KERNELS(T, 1)                                                                     \
  LION_SOFTMAX_KERNELS(T, 32)                                                                \
  LION_SOFTMAX_KERNELS(T, 64)                                                                \
  LION_SOFTMAX_KERNELS(T, 128)                                                               \
  LION_INSTANTIATE_KERNEL(cuda::UpstreamKernel<T>)                                           \
  LION_SCATTER_KERNELS(T)                                                                    \
  LION_INSTANTIATE_KERNEL(cuda::FeatureGradientKernel<T, feature::ShiftedElu, 2>)            \
  LION_INSTANTIATE_KERNEL(cuda::FeatureGradientKernel<T, feature::NormalisedShiftedSilu, 2>) \
  LION_INSTANTIATE_KERNEL(cuda::FeatureGradientKernel<T, feature::NormalisedShiftedSilu, 1>) \
  LION_INSTANTIATE_KERNEL(cuda::ActivationKernel<T, cuda::Gelu, true>)                       \
  LION_INSTANTIATE_KERNEL(cuda::ColumnSumsKernel<float, cuda::ColumnsOf<T>>)                 \
  LION_INSTANTIATE_KERNEL(cuda::ColumnSumsKernel<float, cuda::NormColumns<T>>)               \
  LION_INSTANTIATE_KERNEL(cuda::ColumnSumsKernel<float, cuda::DecayColumns<T>>)              \
  LION_INSTANTIATE_KERNEL(cuda::ClearKernel<T>)                                              \
  LION_INSTANTIATE_KERNEL(cuda::CrossEntropyKernel<T, train::detail::SmoothedLabels>)        \
  LION_INSTANTIATE_KERNEL(cuda::CrossEntropyKernel<T, train::detail::SoftTargets<float>>)    \
  LION_INSTANTIATE_KERNEL(cuda::CrossEntropyKernel<T, cuda::SharedLabels>)                   \
  LION_INSTANTIATE_KERNEL(cuda::AdamWKernel<T>)

LION_TRAINING_KERNELS(float)
LION_TRAINING_KERNELS(bfloat16)
LION_INSTANTIATE_KERNEL(cuda::AddSumsKernel<float>)
LION_INSTANTIATE_KERNEL(cuda::HeadDecaysKernel<float>)
LION_INSTANTIATE_KERNEL(cuda::DecaySlopesKernel<float>)
LION_INSTANTIATE_KERNEL(cuda::LossKernel<float>)
LION_INSTANTIATE_KERNEL(cuda::LabelShareKernel)
LION_INSTANTIATE_KERNEL(cuda::SquaresKernel)
LION_INSTANTIATE_KERNEL(cuda::BeginStepKernel)
template void cuda::Queue::product(const cuda::Product<bfloat16, float>&) const;

// A source of the device may call the CPU's backward: nvcc 13 once ended with an internal error in it.
using Selective = mask::Selective;
void backward_on_the_host(const AttentionInputs<float>& in, const MaskParameters<Selective, float>& mask,
                          const AttentionUpstream<float>& upstream, const AttentionGradients<float>& gradients,
                          const MaskGradients<Selective, float>& mask_gradients) {
  Attention<Selective>{}.backward(in, mask, upstream, gradients, mask_gradients);
}
