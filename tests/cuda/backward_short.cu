// On tensor cores, kernel by kernel at width 64: at 128, half with a gate, a decay per token and row sums is 4 to 16
// bytes more than the registers.
#include "cuda/kernel.hpp"
#include "lion/cuda.hpp"
#include "lion/mask/gated_selective.hpp"

namespace lion::cuda {

using direction::Both, mask::GatedSelective, mask::Selective, normalise::RowSum;

LION_INSTANTIATE_KERNEL(UpstreamKernel<half>)
LION_INSTANTIATE_KERNEL(UnitKernel<half>)
LION_INSTANTIATE_KERNEL(StateKernel<KeysEnter<half, GatedSelective>, RowSum, 64>)
LION_INSTANTIATE_KERNEL(StateKernel<QueriesEnter<half, GatedSelective>, RowSum, 64>)
LION_INSTANTIATE_KERNEL(OutputKernel<half, GatedSelective, RowSum, Both, 64>)
LION_INSTANTIATE_KERNEL(QueryGradientKernel<half, GatedSelective, RowSum, Both, 64>)
LION_INSTANTIATE_KERNEL(KeyGradientKernel<half, GatedSelective, RowSum, Both, 64>)
LION_INSTANTIATE_KERNEL(DecayGradientKernel<half, GatedSelective, RowSum, 64>)
LION_INSTANTIATE_KERNEL(QueryGradientKernel<bfloat16, Selective, RowSum, Both, 64>)
LION_INSTANTIATE_KERNEL(KeyGradientKernel<bfloat16, Selective, RowSum, Both, 64>)

}  // namespace lion::cuda
