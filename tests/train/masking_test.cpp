#include "lion/train/masking.hpp"

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "lion/train/random.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::ArgumentError;
using lion::Index;
using namespace lion::train;

namespace {

constexpr Index kVocabulary = 40, kMask = 4;
constexpr SequenceFormat kFormat{.first = 2, .last = 3, .padding = 0};

MaskingOptions options_of(double rate = 0.3) {
  return {.vocab_size = kVocabulary, .mask_id = kMask, .special_ids = {0, 1, 2, 3, kMask}, .rate = rate};
}

/// Random documents; one token in ten is special.
TokenDocuments random_documents(Index count, Index longest) {
  Random random(17);
  TokenDocuments documents;
  for (Index d = 0; d < count; ++d) {
    std::vector<Index> ids(static_cast<std::size_t>(1 + random.below(longest)));
    for (Index& id : ids) id = random.below(10) == 0 ? random.below(5) : 5 + random.below(kVocabulary - 5);
    documents.add(ids);
  }
  return documents;
}

/// place → (what the model sees there, label or −1), for every token of the documents in the batch.
using Outcome = std::map<Index, std::pair<Index, Index>>;

void look_at(TextBatch batch, const Masking& masking, Index step, Outcome& outcome) {
  const LabelledTokens labelled = masking.mask(batch, step);
  REQUIRE(labelled.rows.size() == labelled.labels.size());
  std::size_t next = 0;
  for (Index i = 0; i < batch.ids.size(); ++i) {
    const bool asked = next < labelled.rows.size() && labelled.rows[next] == i;
    const Index label = asked ? labelled.labels[next++] : -1, place = batch.places.data()[i];
    if (place >= 0) outcome[place] = {batch.ids.data()[i], label};
    if (place < 0) REQUIRE(!asked);
  }
  REQUIRE(next == labelled.rows.size());  // rows ascend and are of the batch
}

bool within(double count, double n, double p) { return std::abs(count - n * p) < 4.5 * std::sqrt(n * p * (1 - p)); }

}  // namespace

TEST_CASE("masking asks for its share of the tokens that are not special, and replaces them 80 : 10 : 10") {
  const TokenDocuments documents = random_documents(400, 120);
  for (const double rate : {0.3, 0.15}) {
    Outcome outcome;
    look_at(padded_batch(documents, cut_documents(documents, 50), kFormat), Masking(options_of(rate), 5), 3, outcome);
    REQUIRE(outcome.size() == documents.ids.size());
    double ordinary = 0, asked = 0, masked = 0, other = 0, same = 0;
    std::map<Index, double> replacements;
    for (const auto& [place, what] : outcome) {
      const auto& [seen, label] = what;
      const Index id = documents.ids[static_cast<std::size_t>(place)];
      ordinary += id >= 5;
      if (label < 0) REQUIRE(seen == id);
      if (label < 0) continue;
      REQUIRE(label == id);
      REQUIRE(id >= 5);  // not a special token
      ++asked;
      masked += seen == kMask;
      same += seen == id;
      other += seen != kMask && seen != id;
      if (seen != kMask && seen != id) {
        REQUIRE(seen >= 5);
        ++replacements[seen];
      }
    }
    REQUIRE(within(asked, ordinary, rate));
    REQUIRE(within(masked, asked, 0.8));
    REQUIRE(within(other, asked, 0.1 * 34 / 35));  // a random token is sometimes the same
    REQUIRE(within(same, asked, 0.1 + 0.1 / 35));
    REQUIRE(replacements.size() == 35);
    for (const auto& [id, count] : replacements) REQUIRE(within(count, other, 1.0 / 35));
  }
}

TEST_CASE("what becomes of a token depends on seed, step and place, not on the batch") {
  const TokenDocuments documents = random_documents(60, 90);
  const Masking masking(options_of(), 5);
  Outcome whole, packed, alone, later, reseeded;
  const std::vector<Piece> pieces = cut_documents(documents, 32);
  look_at(padded_batch(documents, pieces, kFormat), masking, 8, whole);
  look_at(packed_batch(documents, cut_stream(documents, 47), {}), masking, 8, packed);
  for (std::size_t i = pieces.size(); i-- > 0;) {  // one at a time, the last first
    look_at(padded_batch(documents, std::span(pieces).subspan(i, 1), kFormat), masking, 8, alone);
  }
  REQUIRE(packed == whole);
  REQUIRE(alone == whole);

  // Another step or seed is another draw: the same tokens are asked for as often as chance has it.
  look_at(padded_batch(documents, pieces, kFormat), masking, 9, later);
  look_at(padded_batch(documents, pieces, kFormat), Masking(options_of(), 6), 8, reseeded);
  for (const Outcome& other : {later, reseeded}) {
    double both = 0, ordinary = 0;
    for (const auto& [place, what] : whole) {
      ordinary += documents.ids[static_cast<std::size_t>(place)] >= 5;
      both += what.second >= 0 && other.at(place).second >= 0;
    }
    REQUIRE(within(both, ordinary, 0.09));
  }
}

TEST_CASE("a rate of 0 asks for nothing, a rate of 1 for everything that is not special") {
  const TokenDocuments documents = random_documents(5, 30);
  const std::vector<Piece> pieces = cut_documents(documents, 100);
  TextBatch batch = padded_batch(documents, pieces, kFormat);
  REQUIRE(Masking(options_of(0), 1).mask(batch, 0).rows.empty());
  MaskingOptions all = options_of(1);
  all.mask_share = 1;
  all.random_share = 0;
  const LabelledTokens labelled = Masking(all, 1).mask(batch, 0);
  REQUIRE(static_cast<std::ptrdiff_t>(labelled.rows.size()) ==
          std::count_if(documents.ids.begin(), documents.ids.end(), [](Index id) { return id >= 5; }));
  for (const Index row : labelled.rows) REQUIRE(batch.ids.data()[row] == kMask);
}

TEST_CASE("masking says which option is wrong") {
  const auto refused = [](auto&& change, const std::string& message) {
    MaskingOptions options = options_of();
    change(options);
    require_error<ArgumentError>([&] { Masking(options, 0); }, "masking: " + message);
  };
  refused([](auto& o) { o.vocab_size = 0; }, "vocab_size is 0, expected at least 1");
  refused([](auto& o) { o.mask_id = 40; }, "mask_id is 40, expected a value in [0, 40)");
  refused([](auto& o) { o.special_ids[1] = -1; }, "special_ids[1] is -1, expected a value in [0, 40)");
  refused([](auto& o) { o.rate = 1.5; }, "rate is 1.500000, expected a value in [0, 1]");
  refused([](auto& o) { o.random_share = std::nan(""); }, "random_share is nan, expected a value in [0, 1]");
  refused([](auto& o) { o.random_share = 0.3; }, "mask_share + random_share is 1.100000, expected at most 1");
}
