#pragma once
/// Memory of a forward pass, reused from call to call.

#include <cstddef>

#include "lion/core/workspace.hpp"

namespace lion::nn {

/// Own memory that grows at the first call of a size, or memory of the caller's. One per thread that runs a model.
struct Scratch {
  Workspace activations;  ///< what flows between layers
  Workspace attention;    ///< what an attention needs inside one call

  std::size_t size() const { return activations.size() + attention.size(); }
};

}  // namespace lion::nn
