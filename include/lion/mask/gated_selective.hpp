#pragma once
/// One decay per token and head, and a gate on each key: the scan of a selective state space (math.md §9).

#include "lion/mask/selective.hpp"

namespace lion::mask {

/// One λ and one factor γ on the key per batch entry, head and token. In one direction and without row sums this is
/// Mamba-2's scan (arXiv 2405.21060), where the step size Δ_t is the gate of token t and Δ_t·a the logarithm of what is
/// left of the past when t arrives: the λ of t's neighbour, of the token before it in direction::Forward.
struct GatedSelective {
  static constexpr std::string_view name = "gated_selective";
  static constexpr DecayKind decay = DecayKind::per_token;
  static constexpr bool gated = true;

  template <class A>
  struct Parameters {
    View<const A, 3> log_lambda;  ///< [B,H,L] in token order, each in [-∞, 0]
    View<const A, 3> gates;       ///< [B,H,L] in token order

    LION_HOST_DEVICE A log_decay(Index b, Index h, Index t) const { return log_lambda(b, h, t); }
    LION_HOST_DEVICE A gate(Index b, Index h, Index t) const { return gates(b, h, t); }

    void check_shapes(const AttentionDims& dims) const {
      require_shape<3>("attention", "log_lambda", log_lambda.shape(), {dims.B, dims.H, dims.L}, " to match v");
      require_shape<3>("attention", "gates", gates.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
    void check(const AttentionDims& dims) const {
      check_shapes(dims);
      require_log_decays(log_lambda, dims);
    }
  };

  template <class A>
  struct Gradients {
    View<A, 3> dlog_lambda;  ///< [B,H,L] in token order
    View<A, 3> dgates;       ///< [B,H,L] in token order

    LION_HOST_DEVICE void log_decay(Index b, Index h, Index t, A value) const { dlog_lambda(b, h, t) = value; }
    LION_HOST_DEVICE void gate(Index b, Index h, Index t, A value) const { dgates(b, h, t) = value; }

    void check(const AttentionDims& dims) const {
      require_shape<3>("attention", "dlog_lambda", dlog_lambda.shape(), {dims.B, dims.H, dims.L}, " to match v");
      require_shape<3>("attention", "dgates", dgates.shape(), {dims.B, dims.H, dims.L}, " to match v");
    }
  };
};

}  // namespace lion::mask
