#pragma once
/// Repeated augmentation (Hoffer et al., arXiv 1901.09335; Berman et al., arXiv 1902.05509): several versions of an
/// image in one step.

#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "lion/core/view.hpp"
#include "lion/train/random.hpp"

namespace lion::train {

struct RepeatedBatchesOptions {
  Index repeats = 3;    ///< of each image, ≥ 1
  Index processes = 1;  ///< that share a pass, ≥ 1; the repeats of an image go to different ones
  Index rank = 0;       ///< which of them this is, in [0, processes)
  Index round = 256;    ///< a pass shows as many samples as there are, rounded down to a multiple of this, ≥ 1
};

/// Batches without end in the order of DeiT's RASampler: each pass shuffles the images anew, lists each `repeats` times
/// in a row, deals the list out to the processes in turn, and takes as many samples from its begin as there are images.
/// So one pass shows 1/repeats of the images. The rows of step t depend on the seed and t alone; of a process' share
/// the rows that fill no batch are left out.
class RepeatedBatches {
 public:
  RepeatedBatches(Index samples, Index batch, std::uint64_t seed, const RepeatedBatchesOptions& options = {})
      : batch_(batch), seed_(seed), options_(options) {
    const auto require = [](bool good, const char* name, Index value, const std::string& expected) {
      if (good) return;
      throw ArgumentError(std::string("RepeatedBatches: ") + name + " is " + std::to_string(value) + ", expected " +
                          expected);
    };
    const RepeatedBatchesOptions& o = options;
    require(o.repeats >= 1, "repeats", o.repeats, "at least 1");
    require(o.processes >= 1, "processes", o.processes, "at least 1");
    require(o.rank >= 0 && o.rank < o.processes, "rank", o.rank, "a value in [0, " + std::to_string(o.processes) + ")");
    require(o.round >= 1, "round", o.round, "at least 1");
    const Index share = samples > 0 ? samples / o.round * o.round / o.processes : 0;
    require(batch >= 1 && batch <= share, "batch", batch,
            "a value in [1, " + std::to_string(share) + "], the samples of a pass for one process");
    per_epoch_ = share / batch;
    order_.resize(static_cast<std::size_t>(samples));
    rows_.resize(static_cast<std::size_t>(batch));
  }

  /// Whole batches in one pass.
  Index per_epoch() const { return per_epoch_; }

  /// The rows of step t ≥ 0, [batch]; valid until the next call.
  std::span<const Index> rows(Index step) {
    const Index epoch = step / per_epoch_, first = step % per_epoch_ * batch_;
    if (epoch != epoch_) {
      std::iota(order_.begin(), order_.end(), Index(0));
      Random(seed_, static_cast<std::uint64_t>(epoch)).shuffle(std::span<Index>(order_));
      epoch_ = epoch;
    }
    // Where the processes do not divide the list, its begin follows its end; no process gets that far.
    for (Index i = 0; i < batch_; ++i) {
      const Index place = (options_.rank + (first + i) * options_.processes) / options_.repeats;
      rows_[static_cast<std::size_t>(i)] = order_[static_cast<std::size_t>(place)];
    }
    return rows_;
  }

 private:
  Index batch_;
  std::uint64_t seed_;
  RepeatedBatchesOptions options_;
  Index per_epoch_ = 0, epoch_ = -1;
  std::vector<Index> order_, rows_;
};

}  // namespace lion::train
