#pragma once
/// Pieces of documents as a batch that a text model takes.

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "lion/core/tensor.hpp"
#include "lion/model/text_batch.hpp"
#include "lion/train/packing.hpp"

namespace lion::train {

/// What stands around a sequence's tokens.
struct SequenceFormat {
  Index first = -1;   ///< before them ([CLS]); negative: nothing
  Index last = -1;    ///< after them ([SEP]); negative: nothing
  Index padding = 0;  ///< behind a sequence that is shorter than its row ([PAD])

  /// Special tokens of one sequence.
  Index extra() const { return (first >= 0) + (last >= 0); }
};

/// A batch that owns its memory.
struct TextBatch {
  Tensor<Index, 2> ids;           ///< [B,L]
  Tensor<Index, 2> places;        ///< [B,L], each token's place in the documents; -1: the format's, or padding
  Tensor<bool, 2> key_mask;       ///< [B,L], false where a token is padding; empty: none is
  std::vector<Index> cu_seqlens;  ///< where the sequences of the one row begin, and its length; empty: one per row

  model::TextInputs inputs() const { return {ids.view(), key_mask.view(), cu_seqlens}; }
};

namespace detail {

inline void check_pieces(const char* operation, const TokenDocuments& documents, std::span<const Piece> pieces) {
  if (pieces.empty()) throw ArgumentError(std::string(operation) + ": pieces is empty, expected at least one");
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto& [first, last] = pieces[i];
    if (first >= 0 && first <= last && last <= documents.tokens()) continue;
    throw ArgumentError(std::string(operation) + ": pieces[" + std::to_string(i) + "] is [" + std::to_string(first) +
                        ", " + std::to_string(last) + "), expected a part of [0, " +
                        std::to_string(documents.tokens()) + ")");
  }
}

/// Writes a sequence from token `at` of the batch on; returns where it ends.
inline Index write_sequence(const TokenDocuments& documents, const Piece& piece, const SequenceFormat& format,
                            TextBatch& batch, Index at) {
  const auto put = [&](Index id, Index place) {
    batch.ids.data()[at] = id;
    batch.places.data()[at++] = place;
  };
  if (format.first >= 0) put(format.first, -1);
  for (Index place = piece.first; place < piece.last; ++place) {
    put(documents.ids[static_cast<std::size_t>(place)], place);
  }
  if (format.last >= 0) put(format.last, -1);
  return at;
}

inline TextBatch batch_of(const Shape<2>& shape, Index padding) {
  TextBatch batch{Tensor<Index, 2>(shape), Tensor<Index, 2>(shape), {}, {}};
  batch.ids.fill(padding);
  batch.places.fill(-1);
  return batch;
}

}  // namespace detail

/// One sequence per row, the rows as long as the longest, padding at their ends; without a key_mask where all are of
/// one length. Throws ArgumentError if there is no piece or one is not of the documents.
inline TextBatch padded_batch(const TokenDocuments& documents, std::span<const Piece> pieces,
                              const SequenceFormat& format) {
  detail::check_pieces("padded_batch", documents, pieces);
  const auto shorter = [](const Piece& a, const Piece& b) { return a.size() < b.size(); };
  const auto [shortest, longest] = std::minmax_element(pieces.begin(), pieces.end(), shorter);
  const Index rows = static_cast<Index>(pieces.size()), length = longest->size() + format.extra();
  TextBatch batch = detail::batch_of({rows, length}, format.padding);
  const bool padded = shortest->size() < longest->size();
  if (padded) batch.key_mask = Tensor<bool, 2>({rows, length});
  for (Index b = 0; b < rows; ++b) {
    const Index begin = b * length;
    const Index end = detail::write_sequence(documents, pieces[static_cast<std::size_t>(b)], format, batch, begin);
    if (padded) std::fill(batch.key_mask.data() + begin, batch.key_mask.data() + end, true);
  }
  return batch;
}

/// All sequences end to end in one row, without padding. Errors as `padded_batch`'s.
inline TextBatch packed_batch(const TokenDocuments& documents, std::span<const Piece> pieces,
                              const SequenceFormat& format) {
  detail::check_pieces("packed_batch", documents, pieces);
  std::vector<Index> cu_seqlens{0};
  for (const Piece& piece : pieces) cu_seqlens.push_back(cu_seqlens.back() + piece.size() + format.extra());
  TextBatch batch = detail::batch_of({1, cu_seqlens.back()}, format.padding);
  Index at = 0;
  for (const Piece& piece : pieces) at = detail::write_sequence(documents, piece, format, batch, at);
  batch.cu_seqlens = std::move(cu_seqlens);
  return batch;
}

}  // namespace lion::train
