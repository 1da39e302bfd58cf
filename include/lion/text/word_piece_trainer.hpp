#pragma once
/// A WordPiece vocabulary from text.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <map>
#include <queue>
#include <ranges>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lion/text/basic_tokenizer.hpp"
#include "lion/text/documents.hpp"
#include "lion/text/vocabulary.hpp"
#include "lion/text/word_piece.hpp"

namespace lion::text {

struct WordPieceTrainerConfig {
  Index vocab_size = 30522;
  Index min_frequency = 2;                 ///< of the pairs that are merged; characters are kept however rare
  Index limit_alphabet = 1000;             ///< characters kept, the most frequent; words with others are left out
  Index max_input_chars_per_word = 100;    ///< longer words are left out
  SpecialTokens special{};                 ///< the first tokens: [PAD], [UNK], [CLS], [SEP], [MASK]
  std::vector<std::string> never_split{};  ///< further tokens that stand for themselves, after the special ones
  BasicTokenizerConfig basic{};            ///< as the tokenizer will have it
};

/// Learns a vocabulary by merging pairs of pieces, the most frequent first: byte pair encoding (Sennrich et al., arXiv
/// 1508.07909) with "##" before pieces that continue a word, as Hugging Face's WordPieceTrainer, and not the likelihood
/// score of Schuster and Nakajima (2012). Of equally frequent pairs the one whose left piece has the lower id is
/// merged, then the one whose right piece has. Tokens come in the order special tokens, characters that begin a word
/// and those that continue one (both by code point), merged pieces: the result depends on the multiset of words alone.
///
/// Memory is one entry per different word. Pair counts are kept up to date merge by merge.
class WordPieceTrainer {
 public:
  /// Throws ArgumentError if a number of config is negative, or vocab_size or limit_alphabet is 0.
  explicit WordPieceTrainer(WordPieceTrainerConfig config = {})
      : config_(std::move(config)), basic_(config_.basic, special_words()) {
    const auto require = [](const char* name, Index value, Index least) {
      if (value < least) {
        throw ArgumentError(std::string("train_word_piece: ") + name + " is " + std::to_string(value) +
                            ", expected at least " + std::to_string(least));
      }
    };
    require("vocab_size", config_.vocab_size, 1);
    require("min_frequency", config_.min_frequency, 0);
    require("limit_alphabet", config_.limit_alphabet, 1);
    require("max_input_chars_per_word", config_.max_input_chars_per_word, 0);
  }

  /// Counts the words of a text.
  void add(std::string_view text) {
    basic_.words(text, [&](const Word& word) {
      if (word.never_split || word.characters > config_.max_input_chars_per_word) return;
      if (const auto known = counts_.find(word.text); known != counts_.end()) {
        ++known->second;
      } else {
        counts_.emplace(word.text, 1);
      }
    });
  }

  /// The vocabulary of what was added: vocab_size tokens, or fewer if no pair is frequent enough. Throws ArgumentError
  /// if special tokens and alphabet alone are more.
  Vocabulary train() const {
    Training training(special_words());
    const Index special = static_cast<Index>(training.tokens.size());
    training.split(counts_, config_.limit_alphabet);
    if (static_cast<Index>(training.tokens.size()) > config_.vocab_size) {
      throw ArgumentError("train_word_piece: vocab_size is " + std::to_string(config_.vocab_size) +
                          ", expected at least " + std::to_string(training.tokens.size()) + ": " +
                          std::to_string(special) + " special tokens and the alphabet");
    }
    training.merge(config_.vocab_size, (std::max)(config_.min_frequency, Index{1}));
    return Vocabulary(std::move(training.tokens), config_.special);
  }

 private:
  using Id = std::int32_t;
  using Pair = std::pair<Id, Id>;

  struct PairHash {
    std::size_t operator()(const Pair& pair) const noexcept {
      const auto key = (static_cast<std::uint64_t>(pair.first) << 32) | static_cast<std::uint32_t>(pair.second);
      return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 16);
    }
  };
  struct PairCount {
    Index count = 0;
    std::vector<std::size_t> words;  // where it is or was, some more than once
  };
  struct Candidate {
    Index count;
    Pair pair;
    /// Whether the other goes first.
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  struct Pieces {
    std::vector<Id> ids;
    Index count;
  };

  struct Training {
    std::vector<std::string> tokens;
    detail::TextMap<Id> ids;
    std::vector<Pieces> words;
    std::unordered_map<Pair, PairCount, PairHash> pairs;
    std::priority_queue<Candidate> queue;
    std::vector<Pair> grown;  // pairs that became more frequent by the current merge

    explicit Training(std::vector<std::string> special) {
      for (std::string& token : special) id_of(std::move(token));
    }

    Id id_of(std::string token) {
      const auto [place, added] = ids.try_emplace(token, static_cast<Id>(tokens.size()));
      if (added) tokens.push_back(std::move(token));
      return place->second;
    }

    /// Words to characters, in an order that does not depend on the map's.
    void split(const detail::TextMap<Index>& counts, Index limit) {
      const std::map<std::string_view, Index> sorted(counts.begin(), counts.end());
      std::map<char32_t, Index> frequency;
      for (const auto& [word, count] : sorted) {
        for_each_character(word, [&](char32_t c, bool) { frequency[c] += count; });
      }
      std::vector<std::pair<char32_t, Index>> alphabet(frequency.begin(), frequency.end());
      std::ranges::stable_sort(alphabet, std::ranges::greater{}, &std::pair<char32_t, Index>::second);
      if (static_cast<Index>(alphabet.size()) > limit) alphabet.resize(static_cast<std::size_t>(limit));
      std::set<char32_t> known;
      for (const auto& [c, count] : alphabet) known.insert(c);

      std::vector<std::pair<std::string_view, Index>> kept;
      std::set<char32_t> continuing;
      for (const auto& [word, count] : sorted) {
        bool whole = true;
        for_each_character(word, [&](char32_t c, bool) { whole = whole && known.contains(c); });
        if (!whole) continue;
        kept.emplace_back(word, count);
        for_each_character(word, [&](char32_t c, bool first) {
          if (!first) continuing.insert(c);
        });
      }
      for (const char32_t c : known) id_of(piece(c, true));
      for (const char32_t c : continuing) id_of(piece(c, false));
      for (const auto& [word, count] : kept) {
        std::vector<Id> pieces;
        for_each_character(word, [&](char32_t c, bool first) { pieces.push_back(ids.find(piece(c, first))->second); });
        words.push_back({std::move(pieces), count});
      }
    }

    void merge(Index vocab_size, Index min_frequency) {
      for (std::size_t w = 0; w < words.size(); ++w) {
        const auto& [pieces, count] = words[w];
        for (std::size_t i = 0; i + 1 < pieces.size(); ++i) change({pieces[i], pieces[i + 1]}, count, w);
      }
      queue_grown();
      while (static_cast<Index>(tokens.size()) < vocab_size && !queue.empty()) {
        const auto [count, pair] = queue.top();
        queue.pop();
        const auto found = pairs.find(pair);
        if (found == pairs.end()) continue;
        if (found->second.count != count) {  // it was made rarer since it was queued
          if (found->second.count > 0 && found->second.count < count) queue.push({found->second.count, pair});
          continue;
        }
        if (count < min_frequency) return;
        auto where = std::move(found->second.words);
        std::ranges::sort(where);
        const auto repeated = std::ranges::unique(where);
        where.erase(repeated.begin(), repeated.end());
        // Two ways to the same text make one token.
        const Id merged = id_of(tokens[static_cast<std::size_t>(pair.first)] +
                                tokens[static_cast<std::size_t>(pair.second)].substr(kContinuation.size()));
        for (const std::size_t w : where) merge_in(w, pair, merged);
        pairs.erase(pair);
        queue_grown();
      }
    }

    void merge_in(std::size_t w, Pair pair, Id merged) {
      auto& [pieces, count] = words[w];
      for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
        if (pieces[i] != pair.first || pieces[i + 1] != pair.second) continue;
        if (i > 0) {
          change({pieces[i - 1], pair.first}, -count, w);
          change({pieces[i - 1], merged}, count, w);
        }
        if (i + 2 < pieces.size()) {
          change({pair.second, pieces[i + 2]}, -count, w);
          change({merged, pieces[i + 2]}, count, w);
        }
        pieces[i] = merged;
        pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }

    void change(Pair pair, Index by, std::size_t word) {
      PairCount& entry = pairs[pair];
      entry.count += by;
      if (by > 0) {
        entry.words.push_back(word);
        grown.push_back(pair);
      }
    }

    void queue_grown() {
      std::ranges::sort(grown);
      const auto repeated = std::ranges::unique(grown);
      grown.erase(repeated.begin(), repeated.end());
      for (const Pair& pair : grown) {
        const auto found = pairs.find(pair);
        if (found != pairs.end() && found->second.count > 0) queue.push({found->second.count, pair});
      }
      grown.clear();
    }

    template <class F>
    static void for_each_character(std::string_view word, F&& f) {
      for (std::size_t at = 0; at < word.size();) {
        const auto [c, length] = decode(word.substr(at));
        f(c, at == 0);
        at += length;
      }
    }

    static std::string piece(char32_t c, bool first) {
      std::string text(first ? std::string_view() : kContinuation);
      encode(c, text);
      return text;
    }
  };

  std::vector<std::string> special_words() const {
    const auto special = config_.special.all();
    std::vector<std::string> words(special.begin(), special.end());
    words.insert(words.end(), config_.never_split.begin(), config_.never_split.end());
    return words;
  }

  WordPieceTrainerConfig config_;
  BasicTokenizer basic_;
  detail::TextMap<Index> counts_;
};

/// A vocabulary of the words of all documents: a DocumentSource, read to its end, or a range of texts. See
/// WordPieceTrainer.
template <class Documents>
  requires DocumentSource<Documents> ||
           (std::ranges::input_range<Documents> &&
            std::convertible_to<std::ranges::range_reference_t<Documents>, std::string_view>)
Vocabulary train_word_piece(Documents&& documents, const WordPieceTrainerConfig& config = {}) {
  WordPieceTrainer trainer(config);
  if constexpr (DocumentSource<Documents>) {
    for (std::string text; documents.next(text);) trainer.add(text);
  } else {
    for (const std::string_view text : documents) trainer.add(text);
  }
  return trainer.train();
}

}  // namespace lion::text
