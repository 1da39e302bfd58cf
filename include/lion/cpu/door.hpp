#pragma once
/// The checks of the front door: every argument once, before anything is written.

#include "lion/cpu/rows.hpp"
#include "lion/door.hpp"

namespace lion::cpu {

using door::check_incoming;
using door::fail;
using door::require_finite;
using door::require_like;
using door::require_rows;

/// Shapes, strides and lengths of the inputs.
template <class T>
AttentionDims checked_dims(const AttentionInputs<T>& in) {
  const AttentionDims dims = door::checked_shapes(in);
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

}  // namespace lion::cpu
