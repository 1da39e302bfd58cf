// Well-formed UTF-8 against a decoder written the other way round: decode, encode, compare.

#include "lion/core/utf8.hpp"

#include <cstdint>
#include <string>

#include "support/catch.hpp"

namespace {

std::string encode(std::uint32_t point) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80u | ((point >> shift) & 0x3Fu)); };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xC0u | (point >> 6)), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xE0u | (point >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0u | (point >> 18)), tail(12), tail(6), tail(0)};
}

}  // namespace

TEST_CASE("every code point is UTF-8, surrogates and what lies above U+10FFFF are not") {
  bool right = true;
  for (std::uint32_t point = 0; point < 0x120000; ++point) {
    const bool expected = point < 0x110000 && !(point >= 0xD800 && point < 0xE000);
    right = right && (lion::find_invalid_utf8(encode(point)) == std::string::npos) == expected;
  }
  REQUIRE(right);
}

TEST_CASE("sequences of two and three bytes: as many as there are code points") {
  // Well-formed texts of two bytes: two ASCII, or one of U+80 … U+7FF.
  long two = 0;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      two += lion::find_invalid_utf8(std::string{static_cast<char>(a), static_cast<char>(b)}) == std::string::npos;
    }
  }
  REQUIRE(two == 128 * 128 + (0x800 - 0x80));
  // Of three, beginning with a lead of three: U+800 … U+FFFF without the surrogates.
  long three = 0;
  for (int a = 0xE0; a < 0xF0; ++a) {
    for (int b = 0; b < 256; ++b) {
      for (int c = 0; c < 256; ++c) {
        const std::string text{static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
        three += lion::find_invalid_utf8(text) == std::string::npos;
      }
    }
  }
  REQUIRE(three == 0x10000 - 0x800 - 0x800);
}

TEST_CASE("the position is that of the first wrong character") {
  REQUIRE(lion::find_invalid_utf8("ab\xC3\xA9\xC3") == 4);
  REQUIRE(lion::find_invalid_utf8("\x80") == 0);
  REQUIRE(lion::find_invalid_utf8("a\xE2\x82") == 1);
  REQUIRE(lion::find_invalid_utf8("") == std::string::npos);
}
