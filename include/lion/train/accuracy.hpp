#pragma once
/// What a classifier says, and how often it is right.

#include <span>
#include <vector>

#include "lion/core/view.hpp"

namespace lion::train {

/// The class of the largest logit of each row, the first of equals. logits [B,K], K ≥ 1 → [B].
template <Real S>
std::vector<Index> predictions(View<const S, 2> logits) {
  std::vector<Index> classes;
  classes.reserve(static_cast<std::size_t>(logits.extent(0)));
  for (Index b = 0; b < logits.extent(0); ++b) {
    Index best = 0;
    for (Index k = 1; k < logits.extent(1); ++k) {
      if (logits(b, k) > logits(b, best)) best = k;
    }
    classes.push_back(best);
  }
  return classes;
}

/// How many rows have their largest logit at their label (top-1). logits [B,K], labels [B].
template <Real S>
Index count_correct(View<const S, 2> logits, std::span<const Index> labels) {
  require_shape<1>("count_correct", "labels", {static_cast<Index>(labels.size())}, {logits.extent(0)},
                   " to match logits");
  Index right = 0;
  std::size_t b = 0;
  for (Index predicted : predictions(logits)) right += predicted == labels[b++];
  return right;
}

}  // namespace lion::train
