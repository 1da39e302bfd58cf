#pragma once
/// Training on a GPU: include it in a source that nvcc compiles and link lion::cuda.
///
///     cuda::VisionTraining<bfloat16> training(host, {.label_smoothing = 0.1});  // a model::Vision<float>
///     cuda::Blas blas;                                                          // cuBLASLt, for one thread and stream
///     Workspace scratch(device_bytes, training.workspace_size(samples));        // over memory of the device
///     training.step({images, labels}, learning_rate, loss, scratch, cuda::Queue{{stream}, &blas});
///     training.download(host);                                                  // once the stream has ended
///
/// Shown right on an emulated device (tests/simt) and on an H200 (tests/cuda).

#include "lion/model/cuda.hpp"
#include "lion/train/cuda/masked_language.hpp"
#include "lion/train/cuda/vision.hpp"

namespace lion::cuda {

/// model::Vision in training on a GPU.
template <class T>
using VisionTraining = VisionTrainingIn<T, Memory>;

/// model::MaskedLanguage in training there.
template <class T>
using MaskedLanguageTraining = MaskedLanguageTrainingIn<T, Memory>;

/// AdamW of a model in training there.
template <class T>
using AdamW = AdamWIn<T, Memory>;

}  // namespace lion::cuda
