// Every primitive of lion::cuda::Gpu, compiled.

#include "cuda/kernel.hpp"
#include "simt/primitives.hpp"

LION_INSTANTIATE_KERNEL(lion::simt::Places)
LION_INSTANTIATE_KERNEL(lion::simt::Shuffles<float>)
LION_INSTANTIATE_KERNEL(lion::simt::Shuffles<double>)
LION_INSTANTIATE_KERNEL(lion::simt::Shuffles<int>)
LION_INSTANTIATE_KERNEL(lion::simt::Shuffles<unsigned>)
LION_INSTANTIATE_KERNEL(lion::simt::Product<lion::bfloat16>)
LION_INSTANTIATE_KERNEL(lion::simt::Product<lion::half>)
LION_INSTANTIATE_KERNEL(lion::simt::Load<false, 2>)
LION_INSTANTIATE_KERNEL(lion::simt::Load<true, 2>)
LION_INSTANTIATE_KERNEL(lion::simt::Load<false, 4>)
LION_INSTANTIATE_KERNEL(lion::simt::Load<true, 4>)
LION_INSTANTIATE_KERNEL(lion::simt::Values<lion::bfloat16>)
LION_INSTANTIATE_KERNEL(lion::simt::Values<lion::half>)
LION_INSTANTIATE_KERNEL(lion::simt::Rotate)
