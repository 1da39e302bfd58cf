#pragma once
/// Words for error messages about tensors in files.

#include <span>
#include <string>

#include "lion/core/message.hpp"
#include "lion/core/scalar.hpp"

namespace lion::io {

/// "[2,12,197,64]"; an extent of -1 reads "*" (anything).
inline std::string to_string(std::span<const Index> shape) {
  std::string text = "[";
  for (const Index extent : shape) {
    if (text.size() > 1) text += ",";
    text += extent < 0 ? std::string("*") : std::to_string(extent);
  }
  return text + "]";
}

}  // namespace lion::io
