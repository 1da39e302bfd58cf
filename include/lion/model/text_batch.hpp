#pragma once
/// Batches of text: token ids in rows, padded to one length or laid end to end.

#include <algorithm>
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
  View<const Index, 2> type_ids{};      ///< [B,L], the segment of each token; absent: all are of the first, 0

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

/// Consecutive sequences of a batch that are computed together.
struct TextGroup {
  Index first = 0, sequences = 0;  ///< the first of them, and how many
  Index token = 0, tokens = 0;     ///< number of their first token, and how many
};

/// As many sequences from `first` on as have about 512 tokens, at least one: at most 512 tokens, or one sequence.
inline TextGroup text_group(const TextInputs& text, Index first) {
  constexpr Index kTokens = 512;
  TextGroup group{first, 0, text.first(first), 0};
  while (first + group.sequences < text.sequences()) {
    const Index more = text.length(first + group.sequences);
    if (group.sequences > 0 && group.tokens + more > kTokens) break;
    group.tokens += more;
    ++group.sequences;
  }
  return group;
}

/// A group of as many sequences and tokens as any group of the text has.
inline TextGroup largest_group(const TextInputs& text) {
  TextGroup most;
  for (Index s = 0; s < text.sequences();) {
    const TextGroup group = text_group(text, s);
    most.tokens = (std::max)(most.tokens, group.tokens);
    most.sequences = (std::max)(most.sequences, group.sequences);
    s += group.sequences;
  }
  return most;
}

/// The group as a batch of its own; `cuts` has room for its sequences + 1 and holds its cu_seqlens.
inline TextInputs text_of(const TextInputs& text, const TextGroup& group, Index* cuts) {
  const bool packed = !text.cu_seqlens.empty();
  const Index row = packed ? 0 : group.first, column = packed ? group.token : 0;
  const Shape<2> shape = packed ? Shape<2>{1, group.tokens} : Shape<2>{group.sequences, text.ids.extent(1)};
  TextInputs part{View<const Index, 2>(text.ids.at(row, column), shape, text.ids.strides())};
  if (text.key_mask) {
    part.key_mask = View<const bool, 2>(text.key_mask.at(row, column), shape, text.key_mask.strides());
  }
  if (text.type_ids) {
    part.type_ids = View<const Index, 2>(text.type_ids.at(row, column), shape, text.type_ids.strides());
  }
  if (packed) {
    for (Index s = 0; s <= group.sequences; ++s) {
      cuts[s] = text.cu_seqlens[static_cast<std::size_t>(group.first + s)] - group.token;
    }
    part.cu_seqlens = {cuts, static_cast<std::size_t>(group.sequences) + 1};
  }
  return part;
}

/// Throws ArgumentError unless ids are in [0, vocab_size) and type_ids in [0, types), key_mask and type_ids have the
/// shape of ids, cu_seqlens runs from 0 to the length of one row, and, with `longest` above 0, no sequence has more
/// tokens than that.
inline void check_text(const char* operation, const TextInputs& text, Index vocab_size, Index types,
                       Index longest = 0) {
  const auto fail = [&](const std::string& message) { throw ArgumentError(std::string(operation) + ": " + message); };
  const Index batch = text.ids.extent(0), length = text.ids.extent(1);
  if (!text.ids) fail("ids is absent");
  if (text.key_mask) {
    require_shape<2>(operation, "key_mask", text.key_mask.shape(), text.ids.shape(), " to match ids");
  }
  if (text.type_ids) {
    require_shape<2>(operation, "type_ids", text.type_ids.shape(), text.ids.shape(), " to match ids");
  }
  const std::span<const Index> cuts = text.cu_seqlens;
  if (!cuts.empty()) {
    if (batch != 1) {
      fail("ids has shape " + to_string(text.ids.shape()) + ", expected one row with cu_seqlens");
    }
    const auto entry = [&](std::size_t i) {
      return "cu_seqlens[" + std::to_string(i) + "] is " + std::to_string(cuts[i]) + ", expected ";
    };
    if (cuts.front() != 0) fail(entry(0) + "0");
    for (std::size_t i = 1; i < cuts.size(); ++i) {
      if (cuts[i] < cuts[i - 1]) fail(entry(i) + "at least " + std::to_string(cuts[i - 1]));
    }
    if (cuts.back() != length) fail(entry(cuts.size() - 1) + "the length " + std::to_string(length));
  }
  for (Index s = 0; longest > 0 && s < text.sequences(); ++s) {
    if (text.length(s) <= longest) continue;
    fail("sequence " + std::to_string(s) + " has " + std::to_string(text.length(s)) + " tokens, expected at most " +
         std::to_string(longest));
  }
  const auto require_below = [&](const char* name, const View<const Index, 2>& values, Index end) {
    for (Index b = 0; values && b < batch; ++b) {
      for (Index t = 0; t < length; ++t) {
        const Index value = values(b, t);
        if (value >= 0 && value < end) continue;
        fail(name + to_string<2>({b, t}) + " is " + std::to_string(value) + ", expected a value in [0, " +
             std::to_string(end) + ")");
      }
    }
  };
  require_below("ids", text.ids, vocab_size);
  require_below("type_ids", text.type_ids, types);
}

/// Throws ArgumentError unless there is a token.
inline void require_tokens(const char* operation, const TextInputs& text) {
  if (text.tokens() > 0) return;
  throw ArgumentError(std::string(operation) + ": ids has shape " + to_string(text.ids.shape()) +
                      ", expected at least one token to train on");
}

/// Throws ArgumentError unless every entry of `rows` is the number of a token.
inline void check_rows(const char* operation, const TextInputs& text, std::span<const Index> rows) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] >= 0 && rows[r] < text.tokens()) continue;
    throw ArgumentError(std::string(operation) + ": rows[" + std::to_string(r) + "] is " + std::to_string(rows[r]) +
                        ", expected a value in [0, " + std::to_string(text.tokens()) + ")");
  }
}

}  // namespace lion::model
