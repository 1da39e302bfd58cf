#pragma once
/// Logits that a teacher wrote down (train/teacher.hpp).

#include <cmath>
#include <string>

#include "lion/io/safetensors.hpp"

namespace lion::io {

/// The tensor `logits` [samples,classes], any floating-point type. Throws FileError that names the file if there is
/// none, or of another shape, or if it holds a value that is not finite.
template <Real S>
Tensor<S, 2> read_logits(const SafetensorsFile& file, Index samples, Index classes) {
  Tensor<S, 2> logits = file.read_tensor<S, 2>("logits", {samples, classes});
  for (Index row = 0; row < samples; ++row) {
    for (Index k = 0; k < classes; ++k) {
      if (std::isfinite(logits(row, k))) continue;
      throw FileError(detail::safetensors_prefix(file.name()) + "tensor 'logits' holds " +
                      std::to_string(logits(row, k)) + " at [" + std::to_string(row) + "," + std::to_string(k) +
                      "], expected finite values");
    }
  }
  return logits;
}

}  // namespace lion::io
