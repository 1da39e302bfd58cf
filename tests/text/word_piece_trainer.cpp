// Vocabularies learned from text, against the algorithm written out: count all pairs anew, merge the most frequent.

#include "lion/text/word_piece_trainer.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "lion/text/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::text;

namespace {

/// Words of ASCII letters, no special cases: as plain as it can be said.
std::vector<std::string> learned_plainly(const std::vector<std::string>& words, Index vocab_size, int min_frequency) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const auto number = [&](const std::string& token) { return std::ranges::find(tokens, token) - tokens.begin(); };
  std::vector<std::vector<std::string>> split;
  std::vector<std::string> letters, continued;
  for (const std::string& word : words) {
    split.emplace_back();
    for (const char letter : word) {
      letters.emplace_back(1, letter);
      if (!split.back().empty()) continued.push_back(std::string("##") + letter);
      split.back().push_back(split.back().empty() ? letters.back() : continued.back());
    }
  }
  for (auto* part : {&letters, &continued}) {
    std::ranges::sort(*part);
    part->erase(std::unique(part->begin(), part->end()), part->end());
    tokens.insert(tokens.end(), part->begin(), part->end());
  }
  while (static_cast<Index>(tokens.size()) < vocab_size) {
    std::map<std::pair<long, long>, int> counts;
    for (const auto& pieces : split) {
      for (std::size_t i = 0; i + 1 < pieces.size(); ++i) ++counts[{number(pieces[i]), number(pieces[i + 1])}];
    }
    const auto best = std::ranges::max_element(counts, [](auto& a, auto& b) { return a.second < b.second; });
    if (best == counts.end() || best->second < min_frequency) break;
    const std::string left = tokens[static_cast<std::size_t>(best->first.first)];
    const std::string right = tokens[static_cast<std::size_t>(best->first.second)];
    const std::string merged = left + right.substr(2);
    if (std::ranges::find(tokens, merged) == tokens.end()) tokens.push_back(merged);
    for (auto& pieces : split) {
      for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
        if (pieces[i] != left || pieces[i + 1] != right) continue;
        pieces[i] = merged;
        pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return tokens;
}

}  // namespace

TEST_CASE("incremental counts find what counting anew finds") {
  std::mt19937 engine(7);
  const auto random = [&] { return static_cast<unsigned>(engine()); };
  for (int round = 0; round < 60; ++round) {
    const unsigned letters = 1 + random() % 4;  // few: many ties, repeated letters, the same token by two ways
    std::vector<std::string> words(20 + random() % 60);
    for (std::string& word : words) {
      for (unsigned length = 1 + random() % 9; length > 0; --length) {
        word += static_cast<char>('a' + random() % letters);
      }
    }
    const Index size = 13 + static_cast<Index>(random() % 60);
    const int frequency = 1 + static_cast<int>(random() % 4);
    CAPTURE(round, letters, size, frequency);
    const auto learned = train_word_piece(words, {.vocab_size = size, .min_frequency = frequency});
    REQUIRE(learned.tokens() == learned_plainly(words, size, frequency));
    std::ranges::shuffle(words, engine);
    std::string text;
    for (const std::string& word : words) text += word + (random() % 2 ? " " : "\n");
    REQUIRE(train_word_piece(std::vector{text}, {.vocab_size = size, .min_frequency = frequency}).tokens() ==
            learned.tokens());
  }
}

TEST_CASE("documents may come one by one; text is normalised as the tokenizer does") {
  struct Source {
    int left = 3;
    bool next(std::string& text) { return text = "H\u00C9, he; [MASK]<e>", left-- > 0; }
  };
  const auto vocabulary = train_word_piece(Source{}, {.vocab_size = 30, .never_split = {"<e>"}});
  REQUIRE(vocabulary.tokens() == std::vector<std::string>{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<e>", ",", ";",
                                                          "e", "h", "##e", "he"});
  REQUIRE(Tokenizer(vocabulary, {.never_split = {"<e>"}}).tokenize("H\u00E9<e>").size() == 2);
}

TEST_CASE("the alphabet is the most frequent characters, and words with others are left out") {
  const std::vector<std::string> texts{"aab aab aab ab cd cd d\u00E9f"};
  const auto tokens = train_word_piece(texts, {.vocab_size = 50, .min_frequency = 2, .limit_alphabet = 4}).tokens();
  REQUIRE(std::vector(tokens.begin() + 5, tokens.end()) ==
          std::vector<std::string>{"a", "b", "c", "d", "##a", "##b", "##d", "aa", "aab", "cd"});
  // Too long a word is left out too, and so are its letters.
  const auto less =
      train_word_piece(texts, {.vocab_size = 50, .limit_alphabet = 4, .max_input_chars_per_word = 2}).tokens();
  REQUIRE(std::vector(less.begin() + 5, less.end()) ==
          std::vector<std::string>{"a", "b", "c", "d", "##b", "##d", "cd"});
}

TEST_CASE("sizes that cannot be are refused") {
  const std::vector<std::string> texts{"ab ab"};
  require_error<ArgumentError>(
      [&] { train_word_piece(texts, {.vocab_size = 7}); },
      "train_word_piece: vocab_size is 7, expected at least 8: 5 special tokens and the alphabet");
  require_error<ArgumentError>([] { WordPieceTrainer({.vocab_size = 0}); },
                               "train_word_piece: vocab_size is 0, expected at least 1");
  require_error<ArgumentError>([] { WordPieceTrainer({.min_frequency = -1}); },
                               "train_word_piece: min_frequency is -1, expected at least 0");
  require_error<ArgumentError>([] { WordPieceTrainer({.limit_alphabet = 0}); },
                               "train_word_piece: limit_alphabet is 0, expected at least 1");
  REQUIRE(train_word_piece(std::vector<std::string>{}).size() == 5);
}
