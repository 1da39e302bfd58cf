#pragma once
/// The body of forward_on_gpu.

#include "common/gpu.hpp"
#include "lion/model/cuda.hpp"
#include "lion_vision/on_gpu.hpp"

namespace lion::examples {

template <class T>
void forward_on_gpu(const model::Vision<float>& model, const View<const float, 4>& images,
                    const View<float, 2>& logits) {
  cuda::Vision<T> on_gpu(model);
  on_gpu.prepare(images.extent(2), images.extent(3));
  cuda::Blas blas;
  const OnGpu<T, 4> in(images.data(), images.shape());
  const OnGpu<T, 2> out(logits.shape());
  const cuda::Memory scratch(on_gpu.workspace_size(images.shape()));
  Workspace workspace(scratch.data(), scratch.size());
  on_gpu.forward(in.seen(), out.view(), workspace, cuda::Queue{{}, &blas});
  out.download(logits.data());
}

}  // namespace lion::examples
