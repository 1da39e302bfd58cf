#pragma once
/// Batches of text: token ids in rows, padded to one length or laid end to end.

#include <span>
#include <string>

#include "lion/core/view.hpp"

namespace lion::model {

/// Sequences of token ids. Token t of row b has the number b·L + t, wherever tokens are numbered. Either every row is a
/// sequence, padded to L where key_mask says so, or (B = 1) the one row holds several sequences without padding.
struct TextInputs {
  View<const Index, 2> ids;             ///< [B,L]
  View<const bool, 2> key_mask{};       ///< [B,L], false where a token is padding; absent: none is
  std::span<const Index> cu_seqlens{};  ///< cumulative lengths 0 … L of the sequences in one row; empty: one per row

  Index tokens() const { return ids.size(); }

  Index sequences() const { return cu_seqlens.empty() ? ids.extent(0) : static_cast<Index>(cu_seqlens.size()) - 1; }
  /// Number of the first token of a sequence.
  Index first(Index sequence) const {
    return cu_seqlens.empty() ? sequence * ids.extent(1) : cu_seqlens[static_cast<std::size_t>(sequence)];
  }
  /// Tokens of a sequence, its padding included.
  Index length(Index sequence) const {
    return cu_seqlens.empty() ? ids.extent(1) : first(sequence + 1) - first(sequence);
  }
};

/// Throws ArgumentError unless ids are in [0, vocab_size), key_mask has their shape, and cu_seqlens runs from 0 to the
/// length of one row; with `longest` above 0, unless no sequence has more tokens.
inline void check_text(const char* operation, const TextInputs& text, Index vocab_size, Index longest = 0) {
  const std::string prefix = std::string(operation) + ": ";
  const Index batch = text.ids.extent(0), length = text.ids.extent(1);
  if (!text.ids) throw ArgumentError(prefix + "ids is absent");
  if (text.key_mask) {
    require_shape<2>(operation, "key_mask", text.key_mask.shape(), text.ids.shape(), " to match ids");
  }
  const std::span<const Index> cuts = text.cu_seqlens;
  if (!cuts.empty()) {
    if (batch != 1) {
      throw ArgumentError(prefix + "ids has shape " + to_string(text.ids.shape()) +
                          ", expected one row with cu_seqlens");
    }
    const auto entry = [&](std::size_t i) {
      return prefix + "cu_seqlens[" + std::to_string(i) + "] is " + std::to_string(cuts[i]) + ", expected ";
    };
    if (cuts.front() != 0) throw ArgumentError(entry(0) + "0");
    for (std::size_t i = 1; i < cuts.size(); ++i) {
      if (cuts[i] < cuts[i - 1]) throw ArgumentError(entry(i) + "at least " + std::to_string(cuts[i - 1]));
    }
    if (cuts.back() != length) throw ArgumentError(entry(cuts.size() - 1) + "the length " + std::to_string(length));
  }
  for (Index s = 0; longest > 0 && s < text.sequences(); ++s) {
    if (text.length(s) <= longest) continue;
    throw ArgumentError(prefix + "sequence " + std::to_string(s) + " has " + std::to_string(text.length(s)) +
                        " tokens, expected at most " + std::to_string(longest));
  }
  for (Index b = 0; b < batch; ++b) {
    for (Index t = 0; t < length; ++t) {
      const Index id = text.ids(b, t);
      if (id >= 0 && id < vocab_size) continue;
      throw ArgumentError(prefix + "ids" + to_string<2>({b, t}) + " is " + std::to_string(id) +
                          ", expected a value in [0, " + std::to_string(vocab_size) + ")");
    }
  }
}

}  // namespace lion::model
