#pragma once
/// LION-LIT: no decay, M = 1.

#include "lion/mask/mask.hpp"

namespace lion::mask {

/// λ = 1 for every token. No parameters.
struct Linear {
  static constexpr std::string_view name = "linear";
  static constexpr DecayKind decay = DecayKind::none;
  static constexpr bool gated = false;

  template <class A>
  struct Parameters {
    void check_shapes(const AttentionDims&) const {}
    void check(const AttentionDims&) const {}
  };

  template <class A>
  struct Gradients {
    void check(const AttentionDims&) const {}
  };
};

}  // namespace lion::mask
