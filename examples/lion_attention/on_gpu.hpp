#pragma once
/// The operator on a GPU, for one mask; each is compiled in a file of its own, by nvcc.

#include "lion/attention.hpp"
#include "lion_attention/operator.hpp"

namespace lion::examples {

/// What an attention reads and writes: dense views of the host's memory.
template <class Mask, class T>
struct AttentionCall {
  AttentionInputs<T> inputs;
  std::span<const OrderedMask<Mask, T>> masks;
  View<T, 4> y;
  View<const T, 4> dy;  ///< absent without backward, as all that follows is
  AttentionGradients<T> gradients{};
  std::span<const MaskGradients<Mask, T>> mask_gradients{};
};

/// As the settings of the run say, in float.
template <class Mask>
void attend_on_gpu(const AttentionRun& run, const AttentionCall<Mask, float>& call);

}  // namespace lion::examples
