#pragma once
/// Behind the gradients of a mask's decays (math.md §4): for every token and decay in between, the pairs that see each
/// other across it, w_ij = A_ij (dn'_i·v'_j), summed by where their ends lie.

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::cuda {

/// Each [B, H, L]. Past: queries after keys; future: queries before keys. Of pairs across an edge of the token's chunk:
/// q·dq of its query, k̃·dk̃ of its key. Of pairs inside the chunk: with one decay per token, what decays before and
/// after the token see differently, past: Σ_j w_tj − Σ_i w_it, future: the negative; with one decay per head,
/// inner_past is Σ_i |i−t| w_it of the key and the other is not used.
template <class A>
struct MaskScalars {
  A *query_past = nullptr, *query_future = nullptr, *key_past = nullptr, *key_future = nullptr;
  A *inner_past = nullptr, *inner_future = nullptr;
  Index heads = 0, length = 0;

  LION_DEVICE Index at(Index b, Index h, Index t) const { return (b * heads + h) * length + t; }
};

}  // namespace lion::cuda
