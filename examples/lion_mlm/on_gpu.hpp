#pragma once
/// The model on a GPU; each type is compiled in a file of its own, by nvcc.

#include "lion/model/masked_language.hpp"

namespace lion::examples {

/// logits [R,vocab_size] of the tokens `rows` of a text whose views are dense, computed in T (float, bfloat16 or half).
template <class T>
void forward_on_gpu(const model::MaskedLanguage<float>& model, const model::TextInputs& text,
                    std::span<const Index> rows, const View<float, 2>& logits);

}  // namespace lion::examples
