#pragma once
/// Documents of token ids, cut into pieces for sequences, and sequences that share a row.

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "lion/core/view.hpp"

namespace lion::train {

/// Token ids of documents, end to end. A token's place is its number here, by which noise is drawn for it.
struct TokenDocuments {
  std::vector<Index> ids;        ///< [N]
  std::vector<Index> starts{0};  ///< [documents + 1], cumulative lengths

  void add(std::span<const Index> document) {
    ids.insert(ids.end(), document.begin(), document.end());
    starts.push_back(tokens());
  }
  Index size() const { return static_cast<Index>(starts.size()) - 1; }
  Index tokens() const { return static_cast<Index>(ids.size()); }
};

/// Tokens [first, last) of the documents: what one sequence holds beside its special tokens.
struct Piece {
  Index first = 0, last = 0;
  Index size() const { return last - first; }
  bool operator==(const Piece&) const = default;
};

namespace detail {
inline void require_length(const char* operation, Index length) {
  if (length >= 1) return;
  throw ArgumentError(std::string(operation) + ": length is " + std::to_string(length) + ", expected at least 1");
}

inline void cut(Index first, Index last, Index length, std::vector<Piece>& pieces) {
  while (first < last) {
    const Index n = (std::min)(length, last - first);
    pieces.push_back({first, first + n});
    first += n;
  }
}
}  // namespace detail

/// Pieces of `length` ≥ 1 tokens within documents: the last of a document holds what is left. In the documents' order.
inline std::vector<Piece> cut_documents(const TokenDocuments& documents, Index length) {
  detail::require_length("cut_documents", length);
  std::vector<Piece> pieces;
  for (std::size_t d = 0; d + 1 < documents.starts.size(); ++d) {
    detail::cut(documents.starts[d], documents.starts[d + 1], length, pieces);
  }
  return pieces;
}

/// Pieces of `length` ≥ 1 tokens that run on over the ends of documents (RoBERTa's full sentences, arXiv 1907.11692):
/// the last one holds what is left.
inline std::vector<Piece> cut_stream(const TokenDocuments& documents, Index length) {
  detail::require_length("cut_stream", length);
  std::vector<Piece> pieces;
  detail::cut(0, documents.tokens(), length, pieces);
  return pieces;
}

/// Which sequences share a row of at most `capacity` tokens, so that few rows are needed: first-fit decreasing (each
/// sequence, the longest first, goes to the first row with room). Lengths are in [0, capacity]; the numbers of a row's
/// sequences ascend.
inline std::vector<std::vector<Index>> pack_rows(std::span<const Index> lengths, Index capacity) {
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] >= 0 && lengths[i] <= capacity) continue;
    throw ArgumentError("pack_rows: lengths[" + std::to_string(i) + "] is " + std::to_string(lengths[i]) +
                        ", expected a value in [0, " + std::to_string(capacity) + "]");
  }
  const auto length = [&](Index i) { return lengths[static_cast<std::size_t>(i)]; };
  std::vector<Index> order(lengths.size());
  std::iota(order.begin(), order.end(), Index(0));
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return length(a) > length(b); });

  // A tree of the rows' room, its root at 1, finds the first row that has enough in log time.
  std::size_t leaves = 1;
  while (leaves < lengths.size()) leaves *= 2;
  std::vector<Index> room(2 * leaves, capacity);
  std::vector<std::vector<Index>> rows;
  for (const Index i : order) {
    std::size_t node = 1;
    while (node < leaves) node = room[2 * node] >= length(i) ? 2 * node : 2 * node + 1;
    const std::size_t row = node - leaves;
    if (row >= rows.size()) rows.resize(row + 1);
    rows[row].push_back(i);
    for (room[node] -= length(i); node > 1;) {
      node /= 2;
      room[node] = (std::max)(room[2 * node], room[2 * node + 1]);
    }
  }
  for (std::vector<Index>& row : rows) std::sort(row.begin(), row.end());
  return rows;
}

}  // namespace lion::train
