#pragma once
/// Characters and what BERT's tokenizer asks of them. The tables are utf8proc's (version 2.8: Unicode 15).

#include <utf8proc.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace lion::text {

/// U+FFFD, which stands for a byte that is not part of well-formed UTF-8.
inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// A code point and the bytes it was read from.
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;
};

/// The first character of text, which is not empty; a byte that begins none is a replacement character of length 1.
inline CodePoint decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return {first, 1};
  utf8proc_int32_t value = -1;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &value);
  if (length <= 0 || value < 0) return {kReplacementCharacter, 1};
  return {static_cast<char32_t>(value), static_cast<std::size_t>(length)};
}

/// Appends a character as UTF-8; gives the number of its bytes.
inline std::size_t encode(char32_t value, std::string& text) {
  if (value < 0x80) return text.push_back(static_cast<char>(value)), 1;
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto length =
      static_cast<std::size_t>(utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), bytes.data()));
  text.append(reinterpret_cast<const char*>(bytes.data()), length);
  return length;
}

/// Whether a byte of UTF-8 goes on with a character begun before it.
constexpr bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

inline utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

/// Tab, line feed, carriage return and every separator (categories Zs, Zl, Zp).
inline bool is_whitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || c == '\t' || c == '\n' || c == '\r';
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ZS || kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP;
}

/// Control, format and private-use characters (Cc, Cf, Co) that are no white space; unassigned ones are kept.
inline bool is_control(char32_t c) {
  if (c < 0x80) return (c < 0x20 && !is_whitespace(c)) || c == 0x7F;
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_CO;
}

/// Everything printable in ASCII that is no letter, digit or space ("$", "+", "^" too), and elsewhere the categories
/// P*.
inline bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

/// Han ideographs, each of which is a word of its own (not kana, not Hangul). The gap before U+2B920 is in Hugging
/// Face's tables, and the published models were trained with it.
constexpr bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// An accent and its like (Mn).
inline bool is_nonspacing_mark(char32_t c) { return c >= 0x300 && category(c) == UTF8PROC_CATEGORY_MN; }

/// Canonical combining class: 0 for what begins a character, the order of marks for the others.
inline int combining_class(char32_t c) {
  return c < 0x300 ? 0 : utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

/// The lower-case letter, by Unicode's simple mapping.
inline char32_t to_lower(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

/// The full canonical decomposition of one character (NFD before its marks are put in order), in `buffer`.
inline std::span<const utf8proc_int32_t> decompose(char32_t c, std::span<utf8proc_int32_t> buffer) {
  buffer[0] = static_cast<utf8proc_int32_t>(c);
  if (c < 0xC0) return buffer.first(1);
  const auto length =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer.data(),
                              static_cast<utf8proc_ssize_t>(buffer.size()), UTF8PROC_DECOMPOSE, nullptr);
  // Unassigned code points are an error to utf8proc; they decompose to themselves.
  return buffer.first(length > 0 ? static_cast<std::size_t>(length) : 1);
}

}  // namespace lion::text
