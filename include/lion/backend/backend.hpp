#pragma once
/// Where the work is done.

#include <string_view>

namespace lion::backend {

/// Eigen on the caller's threads.
struct Cpu {
  static constexpr std::string_view name = "cpu";
  static constexpr bool available() { return true; }
};

/// CUDA kernels. Known to every build; `lion::Attention` with it compiles only where lion/cuda.hpp is there.
struct Cuda {
  static constexpr std::string_view name = "cuda";
#if defined(LION_HAS_CUDA)
  static constexpr bool available() { return true; }
#else
  static constexpr bool available() { return false; }
#endif
};

}  // namespace lion::backend
