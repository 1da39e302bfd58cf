#include "lion/train/packing.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "lion/train/random.hpp"
#include "lion/train/text_collator.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::ArgumentError;
using lion::Index;
using namespace lion::train;

namespace {

/// Documents of these lengths, whose tokens are 100, 101, ….
TokenDocuments documents_of(std::initializer_list<Index> lengths) {
  TokenDocuments documents;
  for (const Index n : lengths) {
    std::vector<Index> ids(static_cast<std::size_t>(n));
    std::iota(ids.begin(), ids.end(), 100 + documents.tokens());
    documents.add(ids);
  }
  return documents;
}

template <class T>
std::vector<T> values(const lion::Tensor<T, 2>& x) {
  return std::vector<T>(x.data(), x.data() + x.size());
}

}  // namespace

TEST_CASE("documents are cut within their ends or across them") {
  const TokenDocuments documents = documents_of({5, 0, 2, 3});
  REQUIRE(documents.size() == 4);
  REQUIRE(documents.tokens() == 10);
  REQUIRE(cut_documents(documents, 3) == std::vector<Piece>{{0, 3}, {3, 5}, {5, 7}, {7, 10}});
  REQUIRE(cut_documents(documents, 100) == std::vector<Piece>{{0, 5}, {5, 7}, {7, 10}});
  constexpr Index none = std::numeric_limits<Index>::max();  // no limit
  REQUIRE(cut_documents(documents, none) == std::vector<Piece>{{0, 5}, {5, 7}, {7, 10}});
  REQUIRE(cut_stream(documents, none) == std::vector<Piece>{{0, 10}});
  REQUIRE(cut_stream(documents, 4) == std::vector<Piece>{{0, 4}, {4, 8}, {8, 10}});
  REQUIRE(cut_stream(documents, 5) == std::vector<Piece>{{0, 5}, {5, 10}});
  REQUIRE(cut_stream(TokenDocuments{}, 5).empty());
  require_error<ArgumentError>([&] { cut_stream(documents, 0); }, "cut_stream: length is 0, expected at least 1");
  require_error<ArgumentError>([&] { cut_documents(TokenDocuments{}, 0); },
                               "cut_documents: length is 0, expected at least 1");
  require_error<ArgumentError>([&] { cut_documents(documents, -1); },
                               "cut_documents: length is -1, expected at least 1");
}

TEST_CASE("rows are packed as first-fit decreasing has it") {
  const std::vector<Index> lengths{4, 8, 1, 4, 2, 1, 0};
  REQUIRE(pack_rows(lengths, 10) == std::vector<std::vector<Index>>{{1, 4, 6}, {0, 2, 3, 5}});
  REQUIRE(pack_rows({}, 10).empty());
  require_error<ArgumentError>([&] { pack_rows(lengths, 7); },
                               "pack_rows: lengths[1] is 8, expected a value in [0, 7]");
  require_error<ArgumentError>(
      [] {
        const std::vector<Index> wrong{1, -2};
        pack_rows(wrong, 7);
      },
      "pack_rows: lengths[1] is -2, expected a value in [0, 7]");

  // Against the definition, by hand, over random lengths; every sequence in one row and no row too full.
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const Index capacity = 1 + random.below(40);
    std::vector<Index> some(static_cast<std::size_t>(random.below(70)));
    for (Index& n : some) n = random.below(capacity + 1);
    std::vector<Index> order(some.size());
    std::iota(order.begin(), order.end(), Index(0));
    const auto length = [&](Index i) { return some[static_cast<std::size_t>(i)]; };
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return length(a) > length(b); });
    std::vector<std::vector<Index>> expected;
    std::vector<Index> used;
    for (const Index i : order) {
      std::size_t row = 0;
      while (row < used.size() && used[row] + length(i) > capacity) ++row;
      if (row == used.size()) {
        used.push_back(0);
        expected.emplace_back();
      }
      used[row] += length(i);
      expected[row].push_back(i);
    }
    for (auto& row : expected) std::sort(row.begin(), row.end());
    REQUIRE(pack_rows(some, capacity) == expected);
  }
}

TEST_CASE("a padded batch holds a sequence per row, its places and its padding") {
  const TokenDocuments documents = documents_of({3, 4});
  const std::vector<Piece> pieces{{3, 7}, {0, 2}};
  const TextBatch batch = padded_batch(documents, pieces, {.first = 1, .last = 2, .padding = 9});
  REQUIRE(values(batch.ids) == std::vector<Index>{1, 103, 104, 105, 106, 2, 1, 100, 101, 2, 9, 9});
  REQUIRE(values(batch.places) == std::vector<Index>{-1, 3, 4, 5, 6, -1, -1, 0, 1, -1, -1, -1});
  REQUIRE(values(batch.key_mask) ==
          std::vector<bool>{true, true, true, true, true, true, true, true, true, true, false, false});
  const lion::model::TextInputs inputs = batch.inputs();
  REQUIRE(inputs.ids.shape() == lion::Shape<2>{2, 6});
  REQUIRE(inputs.key_mask.shape() == lion::Shape<2>{2, 6});
  REQUIRE(inputs.cu_seqlens.empty());
  lion::model::check_text("test", inputs, 107, 1);

  const std::vector<Piece> equal{{0, 2}, {5, 7}};
  const TextBatch even = padded_batch(documents, equal, {});
  REQUIRE(values(even.ids) == std::vector<Index>{100, 101, 105, 106});
  REQUIRE(!even.inputs().key_mask);
}

TEST_CASE("a packed batch holds its sequences end to end in one row") {
  const TokenDocuments documents = documents_of({3, 4});
  const std::vector<Piece> pieces{{3, 7}, {2, 2}, {0, 2}};
  const TextBatch batch = packed_batch(documents, pieces, {.first = 1, .last = 2});
  REQUIRE(values(batch.ids) == std::vector<Index>{1, 103, 104, 105, 106, 2, 1, 2, 1, 100, 101, 2});
  REQUIRE(values(batch.places) == std::vector<Index>{-1, 3, 4, 5, 6, -1, -1, -1, -1, 0, 1, -1});
  REQUIRE(batch.cu_seqlens == std::vector<Index>{0, 6, 8, 12});
  REQUIRE(batch.inputs().ids.shape() == lion::Shape<2>{1, 12});
  REQUIRE(!batch.inputs().key_mask);
  lion::model::check_text("test", batch.inputs(), 107, 1);
  REQUIRE(packed_batch(documents, pieces, {.last = 2}).cu_seqlens == std::vector<Index>{0, 5, 6, 9});
}

TEST_CASE("batches say which piece is wrong") {
  const TokenDocuments documents = documents_of({3, 4});
  const std::vector<Piece> beyond{{0, 2}, {3, 8}}, backwards{{2, 1}}, negative{{-1, 1}};
  require_error<ArgumentError>([&] { padded_batch(documents, {}, {}); },
                               "padded_batch: pieces is empty, expected at least one");
  require_error<ArgumentError>([&] { padded_batch(documents, beyond, {}); },
                               "padded_batch: pieces[1] is [3, 8), expected a part of [0, 7)");
  require_error<ArgumentError>([&] { packed_batch(documents, backwards, {}); },
                               "packed_batch: pieces[0] is [2, 1), expected a part of [0, 7)");
  require_error<ArgumentError>([&] { packed_batch(documents, negative, {}); },
                               "packed_batch: pieces[0] is [-1, 1), expected a part of [0, 7)");
}
