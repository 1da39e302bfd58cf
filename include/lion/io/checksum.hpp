#pragma once
/// Whether bytes are what they were when they were written.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace lion::io {

/// A checksum of bytes added in pieces: FNV-1a with words of 8 bytes (little-endian, a last one padded with zeros) and
/// a shift, so that upper bits reach lower ones. Each word is taken up by a bijection, so a change within one word
/// never goes unseen. Against accidents, not against forgery.
class Checksum {
 public:
  /// Pieces are told apart: "ab", "c" and "a", "bc" differ.
  void add(std::span<const std::byte> bytes) {
    take(bytes.size());
    std::size_t at = 0;
    for (std::uint64_t word; at + sizeof word <= bytes.size(); at += sizeof word) {
      std::memcpy(&word, bytes.data() + at, sizeof word);
      take(word);
    }
    std::uint64_t rest = 0;
    if (at < bytes.size()) {
      std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
      take(rest);
    }
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }

  /// 16 hexadecimal digits.
  std::string text() const {
    std::string digits;
    for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[value_ >> shift & 15];
    return digits;
  }

 private:
  void take(std::uint64_t word) {
    value_ = (value_ ^ word) * 0x100000001b3;
    value_ ^= value_ >> 32;
  }

  std::uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace lion::io
