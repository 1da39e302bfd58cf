#pragma once
/// From text to words, as BERT does it: the first half of its tokenizer.

#include <algorithm>
#include <array>
#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"
#include "lion/text/unicode.hpp"

namespace lion::text {

/// How text becomes words. Defaults are those of BERT's uncased models; `cased()` those of its cased ones. The field's
/// names, as in tokenizer_config.json.
struct BasicTokenizerConfig {
  bool lower_case = true;
  std::optional<bool> strip_accents{};  ///< decompose (NFD) and drop nonspacing marks; absent: as lower_case
  bool tokenize_chinese_chars = true;   ///< each Han ideograph is a word

  static BasicTokenizerConfig cased() { return {.lower_case = false}; }
};

/// A half-open range of bytes of the original text.
struct Offsets {
  Index begin = 0, end = 0;
  friend bool operator==(const Offsets&, const Offsets&) = default;
};

/// A normalised word and where each of its bytes comes from.
struct Word {
  std::string text;              ///< UTF-8
  std::vector<Offsets> offsets;  ///< [text.size()] of the original character that the byte's character was made from
  Index characters = 0;          ///< code points in text
  bool never_split = false;      ///< the word is one of the never_split, unchanged

  void clear() {
    text.clear();
    offsets.clear();
    characters = 0;
  }
};

/// BERT's basic tokenisation (Devlin et al., arXiv 1810.04805, `tokenization.py`), step by step as Hugging Face's
/// tokenizers do it (BertNormalizer and BertPreTokenizer; the same words, and the same offsets but where canonical
/// ordering moves a mark that is not stripped): words of `never_split` are cut out of the original text wherever they
/// stand, the longest first; of the rest, control characters and U+FFFD are dropped, white space separates words, Han
/// ideographs are words of their own, accents are stripped, letters are lowered, and every punctuation character is a
/// word of its own.
///
/// Any bytes are text: a byte that is not part of well-formed UTF-8 counts as U+FFFD, and so is dropped (as Python's
/// errors="ignore" does). Unicode's tables are utf8proc's; characters assigned after Unicode 8, which the tables of
/// tokenizers do not know, may be categorised differently there. An object can be used by many threads at once.
class BasicTokenizer {
 public:
  /// Throws ArgumentError if a word of never_split is empty.
  explicit BasicTokenizer(const BasicTokenizerConfig& config = {}, std::vector<std::string> never_split = {})
      : config_(config), strip_accents_(config.strip_accents.value_or(config.lower_case)), never_split_(never_split) {
    for (const std::string& word : never_split_) {
      if (word.empty()) throw ArgumentError("tokenizer: never_split has an empty word");
      first_bytes_.set(static_cast<unsigned char>(word.front()));
    }
    // The first that fits is then the longest.
    std::ranges::stable_sort(never_split_, std::ranges::greater{}, &std::string::size);
  }

  const BasicTokenizerConfig& config() const { return config_; }

  /// Calls visit(const Word&) for each word of the text in order; the word is good during the call.
  template <class Visit>
  void words(std::string_view text, Visit&& visit) const {
    State<Visit> state{*this, visit, {}, {}, {}};
    for (std::size_t at = 0; at < text.size();) {
      const auto [begin, end] = next_never_split(text, at);
      state.read(text.substr(0, begin), at);
      if (begin < end) state.keep(text, begin, end);
      at = end;
    }
  }

 private:
  struct Mark {
    char32_t value;
    int combining_class;
  };
  struct Character {
    Mark mark;  // or a letter: class 0
    Offsets from;
  };

  /// What is between two white spaces, and the word being made of it.
  template <class Visit>
  struct State {
    const BasicTokenizer& self;
    Visit& visit;
    std::vector<Character> run;
    std::vector<Mark> marks;
    Word word;

    void read(std::string_view text, std::size_t from) {
      for (std::size_t at = from; at < text.size();) {
        const auto [c, length] = decode(text.substr(at));
        const Offsets here{static_cast<Index>(at), static_cast<Index>(at + length)};
        at += length;
        if (is_whitespace(c)) {
          finish_run();
        } else if (c == kReplacementCharacter || is_control(c)) {
          continue;
        } else if (self.config_.tokenize_chinese_chars && is_chinese(c)) {
          finish_run();
          append(c, here);
          finish_run();
        } else {
          append(c, here);
        }
      }
      finish_run();
    }

    void append(char32_t c, Offsets from) {
      if (!self.strip_accents_) {
        run.push_back({{c, 0}, from});
        return;
      }
      std::array<utf8proc_int32_t, 8> buffer{};  // Unicode's longest has 4
      for (const auto part : decompose(c, buffer)) {
        const auto value = static_cast<char32_t>(part);
        run.push_back({{value, combining_class(value)}, from});
      }
    }

    /// Puts marks in order of their class, those of one class as they came (Unicode 15, D109). Places in the text stay
    /// in order: the first of the ordered marks comes from where the first stood.
    void order_marks() {
      const auto is_mark = [](const Character& c) { return c.mark.combining_class > 0; };
      for (auto begin = run.begin(); begin != run.end();) {
        begin = std::find_if(begin, run.end(), is_mark);
        const auto end = std::find_if_not(begin, run.end(), is_mark);
        if (end - begin > 1) {
          marks.clear();
          for (auto c = begin; c != end; ++c) marks.push_back(c->mark);
          std::ranges::stable_sort(marks, {}, &Mark::combining_class);
          for (auto c = begin; c != end; ++c) c->mark = marks[static_cast<std::size_t>(c - begin)];
        }
        begin = end;
      }
    }

    void finish_run() {
      if (self.strip_accents_) order_marks();
      for (const auto& [mark, from] : run) {
        const char32_t value = mark.value;
        if (self.strip_accents_ && is_nonspacing_mark(value)) continue;
        const char32_t c = self.config_.lower_case ? to_lower(value) : value;
        const bool alone = is_punctuation(c);
        if (alone) finish_word();
        extend(c, from);
        // The one letter that two are made of: i and a dot above (SpecialCasing.txt).
        if (self.config_.lower_case && value == 0x130) extend(0x307, from);
        if (alone) finish_word();
      }
      finish_word();
      run.clear();
    }

    void extend(char32_t c, Offsets from) {
      word.offsets.insert(word.offsets.end(), encode(c, word.text), from);
      ++word.characters;
    }

    void finish_word() {
      if (word.characters == 0) return;
      visit(std::as_const(word));
      word.clear();
    }

    void keep(std::string_view text, std::size_t begin, std::size_t end) {
      word.text = text.substr(begin, end - begin);
      word.offsets.assign(word.text.size(), {static_cast<Index>(begin), static_cast<Index>(end)});
      word.characters = 1;
      word.never_split = true;
      finish_word();
      word.never_split = false;
    }
  };

  /// The first of never_split from a position on, or an empty range at the end.
  std::pair<std::size_t, std::size_t> next_never_split(std::string_view text, std::size_t from) const {
    for (std::size_t at = from; at < text.size(); ++at) {
      if (!first_bytes_[static_cast<unsigned char>(text[at])]) continue;
      for (const std::string& word : never_split_) {
        if (text.substr(at).starts_with(word)) return {at, at + word.size()};
      }
    }
    return {text.size(), text.size()};
  }

  BasicTokenizerConfig config_;
  bool strip_accents_;
  std::vector<std::string> never_split_;
  std::bitset<256> first_bytes_;
};

}  // namespace lion::text
