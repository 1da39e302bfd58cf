#pragma once
/// A stretch of the tokens of a walk.

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion {

/// [first, first + size).
struct Stretch {
  Index first = 0, size = 0;
  LION_HOST_DEVICE constexpr Index end() const { return first + size; }
};

}  // namespace lion
