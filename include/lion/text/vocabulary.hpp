#pragma once
/// The tokens a model knows, and their numbers.

#include <array>
#include <filesystem>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lion/core/atomic_file.hpp"
#include "lion/core/error.hpp"
#include "lion/core/line_reader.hpp"
#include "lion/core/message.hpp"
#include "lion/core/scalar.hpp"
#include "lion/core/utf8.hpp"

namespace lion::text {

/// The tokens with a role, by the names of Hugging Face's special_tokens_map.json.
struct SpecialTokens {
  std::string unk = "[UNK]", cls = "[CLS]", sep = "[SEP]", pad = "[PAD]", mask = "[MASK]";

  /// In the order in which a trained vocabulary begins: padding is 0.
  std::array<std::string, 5> all() const { return {pad, unk, cls, sep, mask}; }
};

namespace detail {

/// Hashes texts of any kind alike, so that maps of strings are asked without making one.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};

template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

}  // namespace detail

/// Tokens numbered from 0: each is well-formed UTF-8, not empty and no other's like, and the special ones are among
/// them. In a WordPiece vocabulary "##" begins the pieces that continue a word.
class Vocabulary {
 public:
  /// Throws ArgumentError that names the first token that does not fit, or the missing special one.
  explicit Vocabulary(std::vector<std::string> tokens, SpecialTokens special = {}) : special_(std::move(special)) {
    for (std::string& token : tokens) {
      const std::string problem = add(std::move(token), "token ", 0);
      if (!problem.empty()) {
        throw ArgumentError("vocabulary: token " + std::to_string(size()) + ": " + problem);
      }
    }
    if (const std::string problem = find_special(); !problem.empty()) throw ArgumentError("vocabulary: " + problem);
  }

  /// Reads a vocab.txt: one token a line, the line is its number. Throws FileError that names the file and the line.
  static Vocabulary load(const std::filesystem::path& path, SpecialTokens special = {}) {
    return read(LineReader("vocabulary", path), std::move(special));
  }
  /// The same from a stream, which `name` stands for in messages.
  static Vocabulary read(std::istream& stream, std::string name, SpecialTokens special = {}) {
    return read(LineReader("vocabulary", stream, std::move(name)), std::move(special));
  }

  /// Writes a vocab.txt through AtomicFile. Throws ArgumentError if a token holds a line's end, FileError if the file
  /// cannot be written.
  void save(const std::filesystem::path& path) const {
    for (const std::string& token : tokens_) {
      if (token.find('\n') != std::string::npos || token.back() == '\r') {
        throw ArgumentError("vocabulary: token " + in_quotes(token) + " does not fit on a line of a file");
      }
    }
    std::string lines;
    for (const std::string& token : tokens_) lines += token + '\n';
    AtomicFile file(path);
    file.write(lines);
    file.commit();
  }

  Index size() const { return static_cast<Index>(tokens_.size()); }
  const std::vector<std::string>& tokens() const { return tokens_; }

  /// Throws ArgumentError unless 0 ≤ id < size().
  const std::string& token(Index id) const {
    if (id < 0 || id >= size()) {
      throw ArgumentError("vocabulary: id is " + std::to_string(id) + ", expected one in [0, " +
                          std::to_string(size()) + ")");
    }
    return tokens_[static_cast<std::size_t>(id)];
  }

  /// The token's number, if there is such a token.
  std::optional<Index> find(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  /// The token's number. Throws ArgumentError if there is no such token.
  Index id(std::string_view token) const {
    if (const auto found = find(token)) return *found;
    throw ArgumentError("vocabulary: has no token " + in_quotes(token));
  }

  const SpecialTokens& special() const { return special_; }
  Index unk_id() const { return unk_; }
  Index cls_id() const { return cls_; }
  Index sep_id() const { return sep_; }
  Index pad_id() const { return pad_; }
  Index mask_id() const { return mask_; }

  /// Whether the number is that of a special token.
  bool is_special(Index id) const { return id == unk_ || id == cls_ || id == sep_ || id == pad_ || id == mask_; }

 private:
  explicit Vocabulary(SpecialTokens special, std::nullptr_t) : special_(std::move(special)) {}

  static Vocabulary read(LineReader lines, SpecialTokens special) {
    Vocabulary vocabulary(std::move(special), nullptr);
    for (std::string line; lines.next(line);) {
      if (const std::string problem = vocabulary.add(line, "line ", 1); !problem.empty()) lines.fail(problem);
    }
    if (const std::string problem = vocabulary.find_special(); !problem.empty()) lines.fail_file(problem);
    return vocabulary;
  }

  /// Says what is wrong with the token, or adds it.
  std::string add(std::string token, const char* unit, Index first) {
    if (token.empty()) return "is empty, expected a token";
    if (const std::size_t at = find_invalid_utf8(token); at != std::string_view::npos) {
      return "token is not valid UTF-8 at its byte " + std::to_string(at);
    }
    const auto [place, added] = ids_.try_emplace(token, size());
    if (!added) {
      return in_quotes(token) + " comes twice, first as " + unit + std::to_string(place->second + first);
    }
    tokens_.push_back(std::move(token));
    return {};
  }

  std::string find_special() {
    const std::pair<const std::string&, Index&> roles[] = {
        {special_.unk, unk_}, {special_.cls, cls_}, {special_.sep, sep_}, {special_.pad, pad_}, {special_.mask, mask_}};
    for (const auto& [token, id] : roles) {
      const auto found = find(token);
      if (!found) return "has no token " + in_quotes(token);
      id = *found;
    }
    return {};
  }

  std::vector<std::string> tokens_;
  detail::TextMap<Index> ids_;
  SpecialTokens special_;
  Index unk_ = 0, cls_ = 0, sep_ = 0, pad_ = 0, mask_ = 0;
};

}  // namespace lion::text
