#pragma once
/// How the rows of a token matrix [N,C] are sequences.

#include <algorithm>
#include <span>

#include "lion/core/view.hpp"

namespace lion::nn {

/// B rows of L tokens (N = B·L), the orders in which masks walk over them (none: as they lie), which of them are
/// padding, and where a row is cut into sequences: key_mask and cu_seqlens as in AttentionInputs.
struct TokenBatch {
  Index samples = 0, length = 0;
  std::span<const std::span<const Index>> orders{};
  View<const bool, 2> key_mask{};
  std::span<const Index> cu_seqlens{};

  Index tokens() const { return samples * length; }

  /// The place of a token in its sequence.
  Index place(Index token) const {
    const Index t = token % length;
    if (cu_seqlens.empty()) return t;
    return t - *(std::upper_bound(cu_seqlens.begin(), cu_seqlens.end(), t) - 1);
  }
};

}  // namespace lion::nn
