#pragma once
/// Which tokens a token sees; its own is always among them.

#include <string_view>

namespace lion::direction {

/// The whole sequence: LION.
struct Both {
  static constexpr std::string_view name = "both";
  static constexpr bool past = true, future = true;
};

/// Tokens before it: causal linear attention (RetNet, Mamba-2, Hydra's scans).
struct Forward {
  static constexpr std::string_view name = "forward";
  static constexpr bool past = true, future = false;
};

/// Tokens after it.
struct Backward {
  static constexpr std::string_view name = "backward";
  static constexpr bool past = false, future = true;
};

}  // namespace lion::direction
