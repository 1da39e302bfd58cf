#pragma once
/// What a masked language model puts in the place of [MASK].

#include <algorithm>
#include <cmath>
#include <numeric>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "common/table.hpp"
#include "lion/core/view.hpp"
#include "lion/text/vocabulary.hpp"

namespace lion::examples {

/// Where the [MASK]s are.
inline std::vector<Index> mask_positions(std::span<const Index> ids, const text::Vocabulary& vocabulary) {
  std::vector<Index> positions;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] == vocabulary.mask_id()) positions.push_back(static_cast<Index>(t));
  }
  return positions;
}

/// Prints, for each row of logits [M,V], the `top` tokens of the largest logits and their probabilities.
inline void print_candidates(View<const float, 2> logits, const text::Vocabulary& vocabulary, Index top,
                             std::ostream& out) {
  Table table({"mask", "token", "probability"});
  for (Index m = 0; m < logits.extent(0); ++m) {
    std::vector<Index> order(static_cast<std::size_t>(logits.extent(1)));
    std::iota(order.begin(), order.end(), Index(0));
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return logits(m, a) > logits(m, b); });
    const auto weight = [&](Index id) { return std::exp(static_cast<double>(logits(m, id) - logits(m, order[0]))); };
    double sum = 0;
    for (const Index id : order) sum += weight(id);
    order.resize((std::min)(order.size(), static_cast<std::size_t>(top)));
    for (const Index id : order) {
      // A model may have rows beyond its vocabulary, up to a round number.
      const std::string token = id < vocabulary.size() ? vocabulary.token(id) : "#" + std::to_string(id);
      table.add({std::to_string(m + 1), token, format("%.2f %%", 100 * weight(id) / sum)});
    }
  }
  table.print(out);
}

}  // namespace lion::examples
