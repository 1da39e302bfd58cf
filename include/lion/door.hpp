#pragma once
/// The checks of the front door that read shapes alone, whatever memory the tensors are in.

#include <cmath>
#include <string>

#include "lion/attention.hpp"
#include "lion/segment.hpp"

namespace lion::door {

[[noreturn]] inline void fail(const std::string& message) { throw ArgumentError("attention: " + message); }

template <class T>
void require_rows(const char* name, const View<T, 4>& view) {
  if (!view) fail(std::string(name) + " is absent");
  require_contiguous_rows("attention", name, view);
}

template <class T>
void require_like(const char* name, const View<T, 4>& view, const Shape<4>& shape, const char* reason) {
  require_rows(name, view);
  require_shape<4>("attention", name, view.shape(), shape, reason);
}

inline void require_finite(const char* name, double value) {
  if (!std::isfinite(value)) fail(std::string(name) + " is " + std::to_string(value) + ", expected a finite number");
}

/// Shapes and strides of the inputs.
template <class T>
AttentionDims checked_shapes(const AttentionInputs<T>& in) {
  require_rows("q", in.q);
  require_rows("k", in.k);
  require_rows("v", in.v);
  const Shape<4>&q = in.q.shape(), &v = in.v.shape();
  const AttentionDims dims{q[0], v[1], q[1], q[2], q[3], v[3]};
  if (dims.D < 1) fail("q has shape " + to_string(q) + ", expected a width of at least 1");
  require_shape<4>("attention", "k", in.k.shape(), q, " to match q");
  require_shape<4>("attention", "v", v, {dims.B, -1, dims.L, -1}, " to match k");
  if (dims.H > 0 && (dims.Hk < 1 || dims.H % dims.Hk != 0)) {
    fail("q has " + std::to_string(dims.Hk) + " heads, expected a divisor of the " + std::to_string(dims.H) +
         " heads of v");
  }
  if (in.key_mask) require_shape<2>("attention", "key_mask", in.key_mask.shape(), {dims.B, dims.L}, " to match k");
  return dims;
}

/// Upstream rows; returns whether y and δ must be computed again.
template <bool divides, class T>
bool check_upstream(const AttentionUpstream<T>& upstream, const AttentionDims& dims) {
  require_like("dy", upstream.dy, {dims.B, dims.H, dims.L, dims.E}, " to match v");
  if constexpr (!divides) return false;
  if (static_cast<bool>(upstream.y) != static_cast<bool>(upstream.row_sum)) {
    fail(std::string(upstream.y ? "row_sum" : "y") + " is absent, expected y and row_sum both, or neither");
  }
  if (!upstream.y) return true;
  require_like("y", upstream.y, {dims.B, dims.H, dims.L, dims.E}, " to match v");
  require_shape<3>("attention", "row_sum", upstream.row_sum.shape(), {dims.B, dims.H, dims.L}, " to match v");
  return false;
}

/// What backward writes.
template <class M, class T>
void check_gradients(const AttentionInputs<T>& in, const AttentionGradients<T>& gradients, std::size_t masks,
                     std::span<const MaskGradients<M, T>> mask_gradients, const AttentionDims& dims) {
  require_like("dq", gradients.dq, in.q.shape(), " to match q");
  require_like("dk", gradients.dk, in.k.shape(), " to match k");
  require_like("dv", gradients.dv, in.v.shape(), " to match v");
  if (mask_gradients.size() != masks) {
    fail("there are " + std::to_string(mask_gradients.size()) + " mask gradients, expected " + std::to_string(masks));
  }
  for (const MaskGradients<M, T>& mask_gradient : mask_gradients) mask_gradient.check(dims);
}

template <class A>
void check_incoming(const Incoming<A>& incoming, const AttentionDims& dims, const char* earlier, const char* later) {
  const Shape<4> shape{dims.B, dims.H, dims.D, dims.E + 1};
  if (incoming.from_earlier) require_like(earlier, incoming.from_earlier, shape, "");
  if (incoming.from_later) require_like(later, incoming.from_later, shape, "");
}

}  // namespace lion::door
