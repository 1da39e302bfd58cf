#pragma once
/// The body of forward_on_gpu.

#include "common/gpu.hpp"
#include "lion/model/cuda.hpp"
#include "lion_mlm/on_gpu.hpp"

namespace lion::examples {

template <class T>
void forward_on_gpu(const model::MaskedLanguage<float>& model, const model::TextInputs& text,
                    std::span<const Index> rows, const View<float, 2>& logits) {
  const model::MaskedLanguageConfig& config = model.config();
  model::check_text("lion_mlm", text, config.vocab_size, config.type_vocab_size,
                    config.position_embeddings ? config.max_position_embeddings : 0);
  const cuda::MaskedLanguage<T> on_gpu(model);
  cuda::Blas blas;
  const auto numbers = [](std::span<const Index> values) {
    return OnGpu<Index, 1>(values.data(), {static_cast<Index>(values.size())});
  };
  const auto span = [](const OnGpu<Index, 1>& values) {
    return std::span<const Index>(values.view().data(), static_cast<std::size_t>(values.view().size()));
  };
  const Shape<2> shape = text.ids.shape();
  const OnGpu<Index, 2> ids(text.ids.data(), shape);
  const OnGpu<Index, 2> types(text.type_ids.data(), text.type_ids.shape());
  const OnGpu<bool, 2> key_mask(text.key_mask.data(), text.key_mask.shape());
  const OnGpu<Index, 1> cuts = numbers(text.cu_seqlens), asked = numbers(rows);
  model::TextInputs there{ids.seen(), {}, span(cuts)};
  if (text.key_mask) there.key_mask = key_mask.seen();
  if (text.type_ids) there.type_ids = types.seen();
  const OnGpu<T, 2> out(logits.shape());
  const cuda::Memory scratch(on_gpu.workspace_size(there, logits.extent(0)));
  Workspace workspace(scratch.data(), scratch.size());
  on_gpu.forward(there, span(asked), out.view(), workspace, cuda::Queue{{}, &blas});
  out.download(logits.data());
}

}  // namespace lion::examples
