#pragma once
/// The checks of the front door: every argument once, before anything is written.

#include <cmath>
#include <string>

#include "lion/attention.hpp"
#include "lion/cpu/rows.hpp"
#include "lion/segment.hpp"

namespace lion::cpu {

inline void fail(const std::string& message) { throw ArgumentError("attention: " + message); }

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

/// Shapes, strides and lengths of the inputs.
template <class T>
AttentionDims checked_dims(const AttentionInputs<T>& in) {
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
  const std::span<const Index> cuts = in.cu_seqlens;
  if (!cuts.empty()) {
    if (cuts.front() != 0) fail("cu_seqlens[0] is " + std::to_string(cuts.front()) + ", expected 0");
    for (std::size_t i = 1; i < cuts.size(); ++i) {
      if (cuts[i] >= cuts[i - 1]) continue;
      fail("cu_seqlens[" + std::to_string(i) + "] is " + std::to_string(cuts[i]) + ", expected at least " +
           std::to_string(cuts[i - 1]));
    }
    if (cuts.back() != dims.L) {
      fail("cu_seqlens[" + std::to_string(cuts.size() - 1) + "] is " + std::to_string(cuts.back()) +
           ", expected the length " + std::to_string(dims.L));
    }
  }
  return dims;
}

/// The sequences of a call: those of cu_seqlens, or all tokens as one.
template <class T>
Index sequence_count(const AttentionInputs<T>& in) {
  return in.cu_seqlens.empty() ? 1 : static_cast<Index>(in.cu_seqlens.size()) - 1;
}
template <class T>
Stretch sequence_of(const AttentionInputs<T>& in, Index i) {
  if (in.cu_seqlens.empty()) return {0, in.q.extent(2)};
  const Index first = in.cu_seqlens[static_cast<std::size_t>(i)];
  return {first, in.cu_seqlens[static_cast<std::size_t>(i) + 1] - first};
}

/// Bytes of scratch to check an order in: one bit per token.
inline std::size_t order_scratch(Index L) { return (static_cast<std::size_t>(L) + 7) / 8; }

template <class T>
Index longest_sequence(const AttentionInputs<T>& in) {
  Index longest = 0;
  for (Index i = 0; i < sequence_count(in); ++i) longest = (std::max)(longest, sequence_of(in, i).size);
  return longest;
}

/// An order must be a permutation that keeps every sequence to itself. `seen` [order_scratch(L)] is scratch.
template <class T>
void check_order(const AttentionInputs<T>& in, std::span<const Index> order, Index L, unsigned char* seen) {
  if (order.empty()) return;
  if (static_cast<Index>(order.size()) != L) {
    fail("order has " + std::to_string(order.size()) + " entries, expected " + std::to_string(L));
  }
  std::fill_n(seen, order_scratch(L), static_cast<unsigned char>(0));
  for (Index s = 0; s < sequence_count(in); ++s) {
    const Stretch sequence = sequence_of(in, s);
    for (Index p = sequence.first; p < sequence.end(); ++p) {
      const Index t = order[static_cast<std::size_t>(p)];
      const auto entry = [&] { return "order[" + std::to_string(p) + "] is " + std::to_string(t); };
      if (t < sequence.first || t >= sequence.end()) {
        fail(entry() + ", expected a token of [" + std::to_string(sequence.first) + "," +
             std::to_string(sequence.end()) + ")");
      }
      const auto bit = static_cast<unsigned char>(1u << (t % 8));
      if (seen[t / 8] & bit) fail(entry() + ", which came before, expected a permutation");
      seen[t / 8] = static_cast<unsigned char>(seen[t / 8] | bit);
    }
  }
}

template <class A>
void check_incoming(const Incoming<A>& incoming, const AttentionDims& dims, const char* earlier, const char* later) {
  const Shape<4> shape{dims.B, dims.H, dims.D, dims.E + 1};
  if (incoming.from_earlier) require_like(earlier, incoming.from_earlier, shape, "");
  if (incoming.from_later) require_like(later, incoming.from_later, shape, "");
}

}  // namespace lion::cpu
