#pragma once
/// LION-D: one decay per head, M_ij = λ^|i-j| (math.md §1).

#include "lion/mask/mask.hpp"

namespace lion::mask {

/// One λ per head, the same for every token.
struct Decay {
  static constexpr std::string_view name = "decay";
  static constexpr DecayKind decay = DecayKind::per_head;
  static constexpr bool gated = false;

  template <class A>
  struct Parameters {
    View<const A, 1> log_lambda;  ///< [H], each in [-∞, 0]

    LION_HOST_DEVICE A log_decay(Index h) const { return log_lambda(h); }

    void check_shapes(const AttentionDims& dims) const {
      require_shape<1>("attention", "log_lambda", log_lambda.shape(), {dims.H}, " to match v");
    }

    void check(const AttentionDims& dims) const {
      check_shapes(dims);
      for (Index h = 0; h < dims.H; ++h) require_log_decay<1>(log_lambda(h), "log_lambda", {h});
    }
  };

  template <class A>
  struct Gradients {
    View<A, 1> dlog_lambda;  ///< [H]

    LION_HOST_DEVICE void log_decay(Index h, A value) const { dlog_lambda(h) = value; }

    void check(const AttentionDims& dims) const {
      require_shape<1>("attention", "dlog_lambda", dlog_lambda.shape(), {dims.H}, " to match v");
    }
  };
};

}  // namespace lion::mask
