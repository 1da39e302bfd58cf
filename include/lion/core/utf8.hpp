#pragma once
/// Whether text is UTF-8.

#include <cstddef>
#include <string_view>

namespace lion {

/// Position of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7: no overlong forms, no
/// surrogates, nothing above U+10FFFF), or npos.
constexpr std::size_t find_invalid_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    std::size_t length = 1;
    unsigned low = 0x80, high = 0xBF;  // range of the second byte
    if (lead >= 0x80) {
      if (lead < 0xC2 || lead > 0xF4) return i;
      length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (text.size() - i < length) return i;
    for (std::size_t j = 1; j < length; ++j, low = 0x80, high = 0xBF) {
      if (byte(i + j) < low || byte(i + j) > high) return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

}  // namespace lion
