#pragma once
/// The model on a GPU; each type is compiled in a file of its own, by nvcc.

#include "lion/model/vision.hpp"

namespace lion::examples {

/// logits [B,num_classes] of dense images, computed in T (float, bfloat16 or half).
template <class T>
void forward_on_gpu(const model::Vision<float>& model, const View<const float, 4>& images,
                    const View<float, 2>& logits);

}  // namespace lion::examples
