#pragma once
/// The models on a GPU: include it in a source that nvcc compiles and link lion::cuda.
///
///     cuda::Vision<bfloat16> model(host);                              // a model::Vision<float> with its weights
///     cuda::Blas blas;                                                 // cuBLASLt, for one thread and stream
///     Workspace scratch(device_bytes, model.workspace_size(shape));    // over memory of the device
///     model.forward(images, logits, scratch, cuda::Queue{{stream}, &blas});
///
/// Shown right on an emulated device (tests/simt) and on an H200 (tests/cuda).

#include "lion/cuda.hpp"
#include "lion/model/cuda/masked_language.hpp"
#include "lion/model/cuda/sequence_classifier.hpp"
#include "lion/model/cuda/vision.hpp"
#include "lion/nn/cuda/blas.hpp"

namespace lion::cuda {

/// model::Vision on a GPU.
template <class T>
using Vision = VisionIn<T, Memory>;

/// model::MaskedLanguage on a GPU.
template <class T>
using MaskedLanguage = MaskedLanguageIn<T, Memory>;

/// model::SequenceClassifier on a GPU.
template <class T>
using SequenceClassifier = SequenceClassifierIn<T, Memory>;

}  // namespace lion::cuda
