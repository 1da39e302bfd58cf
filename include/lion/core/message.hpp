#pragma once
/// Words for error messages about files, whose contents anybody may have written.

#include <cstddef>
#include <string>
#include <string_view>

namespace lion {

/// The name between quotes, fit to print: control characters as \xNN, and cut (at a whole character of UTF-8) after
/// 200 bytes.
inline std::string in_quotes(std::string_view name) {
  constexpr std::size_t kLongest = 200;
  std::size_t length = name.size();
  if (length > kLongest) {
    length = kLongest;
    while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0u) == 0x80u) --length;
  }
  std::string text = "'";
  for (const char c : name.substr(0, length)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20u || byte == 0x7Fu) {
      constexpr const char* kDigits = "0123456789abcdef";
      text.append("\\x").append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15u]);
    } else {
      text += c;
    }
  }
  return text + (length < name.size() ? "…'" : "'");
}

}  // namespace lion
