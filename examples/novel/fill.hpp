#pragma once
/// A model of the novel fills in words.

#include <ostream>
#include <string>
#include <vector>

#include "common/candidates.hpp"
#include "lion/model/masked_language.hpp"
#include "lion/text/tokenizer.hpp"

namespace lion::examples::novel {

/// Prints the likeliest tokens for each [MASK] of the text. Throws ArgumentError if there is none.
inline void fill(const model::MaskedLanguage<float>& model, const text::Tokenizer& tokenizer, const std::string& text,
                 Executor executor, std::ostream& out) {
  constexpr Index kTop = 5;
  const std::vector<Index> ids = tokenizer.encode(text).ids;
  const std::vector<Index> masks = mask_positions(ids, tokenizer.vocabulary());
  if (masks.empty()) throw ArgumentError("--fill is \"" + text + "\", expected a text with [MASK] in it");
  Tensor<float, 2> logits({static_cast<Index>(masks.size()), model.config().vocab_size});
  nn::Scratch scratch;
  model.forward({View<const Index, 2>(ids.data(), {1, static_cast<Index>(ids.size())})}, masks, logits.view(), scratch,
                executor);
  print_candidates(logits, tokenizer.vocabulary(), kTop, out);
}

}  // namespace lion::examples::novel
