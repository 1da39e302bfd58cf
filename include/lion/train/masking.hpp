#pragma once
/// Which tokens a masked language model is asked for, and what it sees in their place (Devlin et al., arXiv
/// 1810.04805).

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lion/nn/random.hpp"
#include "lion/train/text_collator.hpp"

namespace lion::train {

struct MaskingOptions {
  Index vocab_size = 0;
  Index mask_id = 0;                 ///< [MASK]
  std::vector<Index> special_ids{};  ///< never asked for and never put in a token's place
  double rate = 0.3;                 ///< of tokens asked for: 0.3 in training, 0.15 in evaluation (math.md §7)
  double mask_share = 0.8;           ///< of these, those that become [MASK]
  double random_share = 0.1;         ///< of these, those that become any token that is not special; the rest stay
};

/// What is to be predicted, in the batch's order.
struct LabelledTokens {
  std::vector<Index> rows;    ///< numbers b·L + t of tokens, ascending
  std::vector<Index> labels;  ///< [rows], the ids they had
};

/// Masks batches. What becomes of a token depends on the seed, the step and its place in the documents alone: not on
/// what else is in the batch, nor on how the batch is laid out or split.
class Masking {
 public:
  /// Throws ArgumentError for ids outside the vocabulary and shares that are none.
  Masking(MaskingOptions options, std::uint64_t seed) : options_(std::move(options)), seed_(seed) {
    const auto fail = [](const std::string& name, const std::string& value, const std::string& expected) {
      throw ArgumentError("masking: " + name + " is " + value + ", expected " + expected);
    };
    const auto& o = options_;
    const std::string range = "a value in [0, " + std::to_string(o.vocab_size) + ")";
    if (o.vocab_size < 1) fail("vocab_size", std::to_string(o.vocab_size), "at least 1");
    if (o.mask_id < 0 || o.mask_id >= o.vocab_size) fail("mask_id", std::to_string(o.mask_id), range);
    ordinary_.assign(static_cast<std::size_t>(o.vocab_size), true);
    ordinary_[static_cast<std::size_t>(o.mask_id)] = false;
    for (std::size_t i = 0; i < o.special_ids.size(); ++i) {
      const Index id = o.special_ids[i];
      if (id < 0 || id >= o.vocab_size) fail("special_ids[" + std::to_string(i) + "]", std::to_string(id), range);
      ordinary_[static_cast<std::size_t>(id)] = false;
    }
    for (Index id = 0; id < o.vocab_size; ++id) {
      if (is_ordinary(id)) drawn_.push_back(id);
    }
    for (const auto& [name, share] : {std::pair("rate", o.rate), std::pair("mask_share", o.mask_share),
                                      std::pair("random_share", o.random_share)}) {
      if (!(share >= 0 && share <= 1)) fail(name, std::to_string(share), "a value in [0, 1]");
    }
    if (o.mask_share + o.random_share > 1 + 1e-12) {
      fail("mask_share + random_share", std::to_string(o.mask_share + o.random_share), "at most 1");
    }
  }

  const MaskingOptions& options() const { return options_; }

  /// Draws the tokens to be predicted among those of the documents, and puts [MASK] or another token in the place of
  /// most. A small batch may have none. Ids outside the vocabulary are left alone: the model refuses them.
  LabelledTokens mask(TextBatch& batch, Index step) const {
    require_shape<2>("masking", "places", batch.places.shape(), batch.ids.shape(), " to match ids");
    const nn::PlacedRandom random(seed_, static_cast<std::uint64_t>(step));
    LabelledTokens labelled;
    for (Index i = 0; i < batch.ids.size(); ++i) {
      const Index place = batch.places.data()[i];
      Index& id = batch.ids.data()[i];
      if (place < 0 || !is_ordinary(id)) continue;
      const auto draw = 3 * static_cast<std::uint64_t>(place);  // three draws belong to each place
      if (random.uniform(draw) >= options_.rate) continue;
      labelled.rows.push_back(i);
      labelled.labels.push_back(id);
      const double fate = random.uniform(draw + 1);
      if (fate < options_.mask_share) {
        id = options_.mask_id;
      } else if (fate < options_.mask_share + options_.random_share) {
        const double position = random.uniform(draw + 2) * static_cast<double>(drawn_.size());
        id = drawn_[static_cast<std::size_t>(position)];
      }
    }
    return labelled;
  }

 private:
  bool is_ordinary(Index id) const {
    return id >= 0 && id < options_.vocab_size && ordinary_[static_cast<std::size_t>(id)];
  }

  MaskingOptions options_;
  std::uint64_t seed_;
  std::vector<bool> ordinary_;  // [vocab_size], whether a token is not special
  std::vector<Index> drawn_;    // the ordinary ones
};

}  // namespace lion::train
