#pragma once
/// The order in which a run sees its data.

#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "lion/core/view.hpp"
#include "lion/train/random.hpp"

namespace lion::train {

/// Shuffled batches without end: the rows of step t depend on the seed and t alone, so a run can be taken up at any
/// step. Each pass over the data is shuffled anew; the rows left over when the batches are full wait for the next.
class Batches {
 public:
  /// samples ≥ batch ≥ 1.
  Batches(Index samples, Index batch, std::uint64_t seed)
      : batch_(batch), seed_(seed), order_(static_cast<std::size_t>(samples > 0 ? samples : 0)) {
    if (batch < 1 || samples < batch) {
      throw ArgumentError("Batches: batch is " + std::to_string(batch) + ", expected a value in [1, " +
                          std::to_string(samples) + "]");
    }
  }

  /// Whole batches in one pass over the data.
  Index per_epoch() const { return static_cast<Index>(order_.size()) / batch_; }

  /// The rows of step t ≥ 0, [batch]; valid until the next call.
  std::span<const Index> rows(Index step) {
    const Index epoch = step / per_epoch();
    if (epoch != epoch_) {
      std::iota(order_.begin(), order_.end(), Index(0));
      Random(seed_, static_cast<std::uint64_t>(epoch)).shuffle(std::span<Index>(order_));
      epoch_ = epoch;
    }
    return std::span<const Index>(order_).subspan(static_cast<std::size_t>(step % per_epoch() * batch_),
                                                  static_cast<std::size_t>(batch_));
  }

 private:
  Index batch_;
  std::uint64_t seed_;
  std::vector<Index> order_;
  Index epoch_ = -1;
};

}  // namespace lion::train
