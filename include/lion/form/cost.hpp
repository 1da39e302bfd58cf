#pragma once
/// What a form costs, and the choice behind form::Auto.

#include <algorithm>

#include "lion/form/form.hpp"
#include "lion/mask/mask.hpp"

namespace lion::form {

/// How a call is computed: pairs inside chunks of this many tokens (all of them: the full form), states across; or,
/// without decay and in both directions, one global state.
struct Plan {
  Index chunk = 1;
  bool global = false;
};

/// Multiply-adds per token and head (math.md §3): a pair takes D + E + 1, a token D (E + 1) for each state it enters or
/// looks at, of which there are `states`. Products with a state run as fast as those of pairs.
constexpr double cost_per_token(Index chunk, Index D, Index E, Index states) {
  return static_cast<double>(chunk) * static_cast<double>(D + E + 1) +
         2.0 * static_cast<double>(states) * static_cast<double>(D * (E + 1));
}

/// Tokens in a chunk of form::Auto on the CPU: half as many pairs as with 64 for products that are nearly as fast, 10
/// to 20 % less time in all (bench/forms.cpp).
inline constexpr Index kAutoChunk = 32;

/// The plan with the fewest operations on the CPU (cuda/cost.hpp has the GPU's), chunks being of `size` tokens.
constexpr Plan cheapest(mask::DecayKind decay, bool both_directions, Index L, Index D, Index E,
                        Index size = kAutoChunk) {
  const Index whole = L > 0 ? L : 1;
  if (decay == mask::DecayKind::none && both_directions) {
    // All pairs take a tenth longer than they count, since scores pass through the cache.
    const bool global = cost_per_token(0, D, E, 1) < 1.1 * cost_per_token(whole, D, E, 0);
    return {whole, global};
  }
  const bool full = cost_per_token(whole, D, E, 0) <= cost_per_token(size, D, E, both_directions ? 2 : 1);
  return {full ? whole : (std::min)(size, whole), false};
}

/// The plan of each form.
constexpr Plan plan(const Full&, mask::DecayKind, bool, Index L, Index, Index) { return {L > 0 ? L : 1, false}; }
constexpr Plan plan(const Rnn&, mask::DecayKind decay, bool both_directions, Index, Index, Index) {
  return {1, decay == mask::DecayKind::none && both_directions};
}
constexpr Plan plan(const Chunk& chunk, mask::DecayKind decay, bool both_directions, Index, Index, Index) {
  return {chunk.size, decay == mask::DecayKind::none && both_directions};
}
constexpr Plan plan(const Auto&, mask::DecayKind decay, bool both_directions, Index L, Index D, Index E) {
  return cheapest(decay, both_directions, L, D, E);
}

}  // namespace lion::form
