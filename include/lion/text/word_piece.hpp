#pragma once
/// From a word to the pieces that a vocabulary knows.

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lion/text/basic_tokenizer.hpp"
#include "lion/text/vocabulary.hpp"

namespace lion::text {

/// Begins every piece of a word but the first.
inline constexpr std::string_view kContinuation = "##";

/// A piece of a text.
struct Token {
  Index id = 0;
  Offsets offsets;  ///< bytes of the original text
  friend bool operator==(const Token&, const Token&) = default;
};

/// Splits words greedily: the longest token that begins the word, then the longest that goes on with it. A word that
/// cannot be split to its end, or has more than max_input_chars_per_word characters, is one [UNK] (Wu et al., arXiv
/// 1609.08144; BERT's WordpieceTokenizer).
class WordPiece {
 public:
  WordPiece(const Vocabulary& vocabulary, Index max_input_chars_per_word)
      : unk_(vocabulary.unk_id()), max_characters_(max_input_chars_per_word) {
    for (Index id = 0; id < vocabulary.size(); ++id) {
      const std::string& token = vocabulary.token(id);
      longest_ = (std::max)(longest_, token.size());
      whole_.emplace(token, id);
      if (token.size() > kContinuation.size() && token.starts_with(kContinuation)) {
        continued_.emplace(token.substr(kContinuation.size()), id);
      }
    }
  }

  /// Appends the word's tokens.
  void split(const Word& word, std::vector<Token>& tokens) const {
    const std::size_t before = tokens.size();
    const auto place = [&](Index id, std::size_t begin, std::size_t end) {
      tokens.push_back({id, {word.offsets[begin].begin, word.offsets[end - 1].end}});
    };
    const std::string_view text = word.text;
    if (word.characters > max_characters_) return place(unk_, 0, text.size());
    for (std::size_t begin = 0; begin < text.size();) {
      const detail::TextMap<Index>& pieces = begin == 0 ? whole_ : continued_;
      std::size_t end = (std::min)(text.size(), begin + longest_);
      auto found = pieces.end();
      for (; end > begin; --end) {
        if (end < text.size() && continues_character(text[end])) continue;
        found = pieces.find(text.substr(begin, end - begin));
        if (found != pieces.end()) break;
      }
      if (end == begin) {
        tokens.resize(before);
        return place(unk_, 0, text.size());
      }
      place(found->second, begin, end);
      begin = end;
    }
  }

 private:
  detail::TextMap<Index> whole_, continued_;  // continued_ without their "##"
  std::size_t longest_ = 0;                   // bytes of a token
  Index unk_;
  Index max_characters_;
};

}  // namespace lion::text
