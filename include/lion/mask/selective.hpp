#pragma once
/// LION-S: one decay per token and head (math.md §1).

#include "lion/mask/mask.hpp"

namespace lion::mask {

/// Throws unless each entry of log_lambda [B,H,L] is in [-∞, 0].
template <class A>
void require_log_decays(const View<const A, 3>& log_lambda, const AttentionDims& dims) {
  for (Index b = 0; b < dims.B; ++b) {
    for (Index h = 0; h < dims.H; ++h) {
      for (Index t = 0; t < dims.L; ++t) require_log_decay<3>(log_lambda(b, h, t), "log_lambda", {b, h, t});
    }
  }
}

/// One λ per batch entry, head and token.
struct Selective {
  static constexpr std::string_view name = "selective";
  static constexpr DecayKind decay = DecayKind::per_token;
  static constexpr bool gated = false;

  template <class A>
  struct Parameters {
    View<const A, 3> log_lambda;  ///< [B,H,L] in token order, each in [-∞, 0]

    LION_HOST_DEVICE A log_decay(Index b, Index h, Index t) const { return log_lambda(b, h, t); }

    void check_shapes(const AttentionDims& dims) const {
      require_shape<3>("attention", "log_lambda", log_lambda.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
    void check(const AttentionDims& dims) const {
      check_shapes(dims);
      require_log_decays(log_lambda, dims);
    }
  };

  template <class A>
  struct Gradients {
    View<A, 3> dlog_lambda;  ///< [B,H,L] in token order

    LION_HOST_DEVICE void log_decay(Index b, Index h, Index t, A value) const { dlog_lambda(b, h, t) = value; }

    void check(const AttentionDims& dims) const {
      require_shape<3>("attention", "dlog_lambda", dlog_lambda.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
  };
};

}  // namespace lion::mask
