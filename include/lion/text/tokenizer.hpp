#pragma once
/// BERT's tokenizer: text to a model's numbers and back.

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lion/text/basic_tokenizer.hpp"
#include "lion/text/vocabulary.hpp"
#include "lion/text/word_piece.hpp"

namespace lion::text {

/// Defaults are those of BERT's uncased models.
struct TokenizerConfig {
  BasicTokenizerConfig basic{};
  Index max_input_chars_per_word = 100;    ///< a longer word is [UNK]
  std::vector<std::string> never_split{};  ///< tokens found in the text as they stand, beside the special ones
};

/// What a model takes of one text or a pair; all of one length.
struct Encoding {
  std::vector<Index> ids;
  std::vector<Index> type_ids;            ///< 0 for the first text, 1 for the second
  std::vector<Offsets> offsets;           ///< bytes of the token's own text; [0, 0) for added tokens
  std::vector<bool> special_tokens_mask;  ///< true for added tokens ([CLS], [SEP])

  Index size() const { return static_cast<Index>(ids.size()); }
};

struct EncodeOptions {
  Index max_length = (std::numeric_limits<Index>::max)();  ///< longer encodings are cut, added tokens included
  bool add_special_tokens = true;                          ///< [CLS] A [SEP], or [CLS] A [SEP] B [SEP]
};

/// Basic tokenisation, then WordPiece: tokens, offsets, truncation and decoding as Hugging Face's tokenizers give for
/// BERT (BertTokenizer and BertTokenizerFast). Special tokens in the text, [MASK] say, are found as they stand. Any
/// bytes are text (see BasicTokenizer). An object can be used by many threads at once.
class Tokenizer {
 public:
  /// Throws ArgumentError if a token of never_split is not in the vocabulary.
  explicit Tokenizer(Vocabulary vocabulary, const TokenizerConfig& config = {})
      : vocabulary_(std::move(vocabulary)),
        basic_(config.basic, special_words(vocabulary_, config)),
        word_piece_(vocabulary_, config.max_input_chars_per_word) {}

  const Vocabulary& vocabulary() const { return vocabulary_; }

  /// Appends the text's tokens, without added ones.
  void tokenize(std::string_view text, std::vector<Token>& tokens) const {
    basic_.words(text, [&](const Word& word) {
      if (word.never_split) {
        tokens.push_back({*vocabulary_.find(word.text), word.offsets.front()});
      } else {
        word_piece_.split(word, tokens);
      }
    });
  }
  std::vector<Token> tokenize(std::string_view text) const {
    std::vector<Token> tokens;
    tokenize(text, tokens);
    return tokens;
  }

  /// [CLS] text [SEP], cut at its end to max_length. Throws ArgumentError if max_length has no place for added tokens.
  Encoding encode(std::string_view text, const EncodeOptions& options = {}) const {
    const auto tokens = tokenize(text);
    const Index room = room_for_tokens(options, 2);
    return assemble(std::span(tokens).first(std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(room))), {},
                    false, options);
  }

  /// [CLS] first [SEP] second [SEP]. What is too long for max_length is cut at the end of the longer text, and of both
  /// once they are alike ("longest first"): half each, the odd token to the one that was longer, or to the second.
  Encoding encode_pair(std::string_view first, std::string_view second, const EncodeOptions& options = {}) const {
    const auto a = tokenize(first), b = tokenize(second);
    const Index room = room_for_tokens(options, 3);
    Index shorter = static_cast<Index>((std::min)(a.size(), b.size()));
    Index longer = static_cast<Index>((std::max)(a.size(), b.size()));
    if (longer > room - shorter) {
      shorter = (std::min)(shorter, room / 2);
      longer = room - shorter;
    }
    const bool first_is_longer = a.size() > b.size();
    return assemble(std::span(a).first(static_cast<std::size_t>(first_is_longer ? longer : shorter)),
                    std::span(b).first(static_cast<std::size_t>(first_is_longer ? shorter : longer)), true, options);
  }

  /// Text of the ids: pieces joined to words, words by spaces, and no space before punctuation and English contractions
  /// (as tokenizers' WordPiece decoder with cleanup). What normalisation took away does not come back. Throws
  /// ArgumentError if an id is not in the vocabulary.
  std::string decode(std::span<const Index> ids, bool skip_special_tokens = true) const {
    std::string text;
    bool first = true;
    for (const Index id : ids) {
      const std::string& token = vocabulary_.token(id);
      if (skip_special_tokens && vocabulary_.is_special(id)) continue;
      std::string piece;
      if (first) {
        piece = token;
      } else if (token.starts_with(kContinuation)) {
        piece = token.substr(kContinuation.size());
      } else {
        piece = " " + token;
      }
      first = false;
      text += clean_up(piece);
    }
    return text;
  }

 private:
  static std::vector<std::string> special_words(const Vocabulary& vocabulary, const TokenizerConfig& config) {
    const auto special = vocabulary.special().all();
    std::vector<std::string> words(special.begin(), special.end());
    for (const std::string& word : config.never_split) {
      if (!vocabulary.find(word)) {
        throw ArgumentError("tokenizer: never_split has " + in_quotes(word) + ", expected tokens of the vocabulary");
      }
      words.push_back(word);
    }
    return words;
  }

  static Index room_for_tokens(const EncodeOptions& options, Index added) {
    if (!options.add_special_tokens) added = 0;
    if (options.max_length < added) {
      throw ArgumentError("tokenizer: max_length is " + std::to_string(options.max_length) + ", expected at least " +
                          std::to_string(added));
    }
    return options.max_length - added;
  }

  Encoding assemble(std::span<const Token> a, std::span<const Token> b, bool pair, const EncodeOptions& options) const {
    Encoding encoding;
    const auto add = [&](const Token& token, Index type, bool special) {
      encoding.ids.push_back(token.id);
      encoding.type_ids.push_back(type);
      encoding.offsets.push_back(token.offsets);
      encoding.special_tokens_mask.push_back(special);
    };
    const auto add_special = [&](Index id, Index type) {
      if (options.add_special_tokens) add({id, {}}, type, true);
    };
    add_special(vocabulary_.cls_id(), 0);
    for (const Token& token : a) add(token, 0, false);
    add_special(vocabulary_.sep_id(), 0);
    if (pair) {
      for (const Token& token : b) add(token, 1, false);
      add_special(vocabulary_.sep_id(), 1);
    }
    return encoding;
  }

  /// Of one piece with the space before it, as tokenizers do; so " do not", two words, is never met.
  static std::string clean_up(std::string piece) {
    static constexpr std::array<std::string_view, 9> kNoSpaceBefore = {".",  "?",  "!",   ",",  "n't",
                                                                       "'m", "'s", "'ve", "'re"};
    for (const std::string_view end : kNoSpaceBefore) {
      const std::string spaced = " " + std::string(end);
      for (std::size_t at; (at = piece.find(spaced)) != std::string::npos;) piece.erase(at, 1);
    }
    return piece;
  }

  Vocabulary vocabulary_;
  BasicTokenizer basic_;
  WordPiece word_piece_;
};

/// The same offsets in characters (code points; a byte that is not part of well-formed UTF-8 is one) instead of bytes.
inline std::vector<Offsets> character_offsets(std::string_view text, std::span<const Offsets> offsets) {
  std::vector<Index> before(text.size() + 1);  // characters that begin before the byte
  Index count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) {
    const std::size_t length = decode(text.substr(at)).length;
    std::fill_n(before.begin() + static_cast<std::ptrdiff_t>(at), length, count);
    at += length;
  }
  before.back() = count;
  std::vector<Offsets> characters;
  characters.reserve(offsets.size());
  for (const auto& [begin, end] : offsets) {
    characters.push_back({before.at(static_cast<std::size_t>(begin)), before.at(static_cast<std::size_t>(end))});
  }
  return characters;
}

}  // namespace lion::text
