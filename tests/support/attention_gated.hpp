#pragma once
/// A mask of a user's own: one decay and one gate on the key per token and head, as in Mamba-2.

#include "lion/core/config.hpp"
#include "support/attention_run.hpp"

namespace lion::test {

struct Gated {
  static constexpr std::string_view name = "gated";
  static constexpr mask::DecayKind decay = mask::DecayKind::per_token;
  static constexpr bool gated = true;

  template <class A>
  struct Parameters {
    View<const A, 3> log_lambda, factor;  // [B,H,L]
    LION_HOST_DEVICE A log_decay(Index b, Index h, Index t) const { return log_lambda(b, h, t); }
    LION_HOST_DEVICE A gate(Index b, Index h, Index t) const { return factor(b, h, t); }
    void check(const AttentionDims&) const {}
    void check_shapes(const AttentionDims&) const {}
  };

  template <class A>
  struct Gradients {
    View<A, 3> dlog_lambda, dfactor;  // [B,H,L]
    LION_HOST_DEVICE void log_decay(Index b, Index h, Index t, A value) const { dlog_lambda(b, h, t) = value; }
    LION_HOST_DEVICE void gate(Index b, Index h, Index t, A value) const { dfactor(b, h, t) = value; }
    void check(const AttentionDims&) const {}
  };
};

template <class A>
struct MaskStorage<Gated, A> {
  MaskStorage(const Problem& p, std::size_t r)
      : shape{p.dims.B, p.dims.H, p.dims.L},
        values(p.log_lambda[r].begin(), p.log_lambda[r].end()),
        factors(p.gate[r].begin(), p.gate[r].end()),
        slopes(values.size(), std::numeric_limits<A>::quiet_NaN()),
        factor_slopes(slopes) {}
  Gated::Parameters<A> parameters() { return {{values.data(), shape}, {factors.data(), shape}}; }
  Gated::Gradients<A> gradients() { return {{slopes.data(), shape}, {factor_slopes.data(), shape}}; }
  std::vector<double> dlog_lambda() { return {slopes.begin(), slopes.end()}; }
  std::vector<double> dgate() { return {factor_slopes.begin(), factor_slopes.end()}; }
  Shape<3> shape;
  std::vector<A> values, factors, slopes, factor_slopes;
};

}  // namespace lion::test
