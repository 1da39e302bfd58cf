#pragma once
/// What the CUDA backend throws beside ArgumentError.

#include "lion/core/error.hpp"

namespace lion::cuda {

/// The CUDA runtime refused a launch or a call; the message names what was asked of it and the cause it gave.
struct CudaError : Error {
  using Error::Error;
};

}  // namespace lion::cuda
