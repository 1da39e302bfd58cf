#pragma once
/// Scratch of the models on the GPU.

#include <string>

#include "lion/core/error.hpp"
#include "lion/core/workspace.hpp"

namespace lion::cuda {

/// The workspace's memory, of the device, once it is found to have `size` bytes.
inline Arena device_arena(const char* operation, Workspace& workspace, std::size_t size) {
  if (!workspace.borrowed()) {
    throw ArgumentError(std::string(operation) +
                        ": workspace has memory of its own, expected one over the device's memory");
  }
  workspace.reserve(size);
  return workspace.arena();
}

}  // namespace lion::cuda
