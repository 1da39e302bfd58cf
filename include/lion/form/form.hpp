#pragma once
/// The order in which the same sum is computed: time and memory, never the result.

#include <string_view>

#include "lion/core/scalar.hpp"

namespace lion::form {

/// Every pair of tokens, tile by tile: O(L²) time, a constant of scratch. Short sequences, training.
struct Full {
  static constexpr std::string_view name = "full";
};

/// Two sweeps with a D×E state, token by token (math.md §2): O(L) time, least scratch.
struct Rnn {
  static constexpr std::string_view name = "rnn";
};

/// Pairs inside chunks, states across them (math.md §3): O(L) time in matrix products.
struct Chunk {
  static constexpr std::string_view name = "chunk";
  Index size = 64;  ///< tokens in a chunk, at least 1; the last chunk may be short
};

/// Full or chunk, by shape and mask: form/cost.hpp.
struct Auto {
  static constexpr std::string_view name = "auto";
};

}  // namespace lion::form
