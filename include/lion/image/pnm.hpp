#pragma once
/// Binary PPM (P6, colour) and PGM (P5, grey) images (netpbm): the format that needs no decoder.

#include <span>
#include <string>

#include "lion/image/image.hpp"

namespace lion::image {

inline bool is_pnm(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{'P'} && (bytes[1] == std::byte{'5'} || bytes[1] == std::byte{'6'});
}

/// The image as 1 (grey) or 3 (colour) channels, whichever it is stored as: grey is repeated, colour becomes `grey_of`
/// it. A largest value other than 255 is scaled to it. `name` stands for the file in messages. Throws FileError.
inline Image decode_pnm(std::span<const std::byte> bytes, Index channels, const std::string& name) {
  const auto fail = [&](const std::string& what) { throw FileError("image: " + name + " " + what); };
  if (!is_pnm(bytes)) fail("does not begin with P5 or P6");
  const Index stored = bytes[1] == std::byte{'6'} ? 3 : 1;
  std::size_t at = 2;
  const auto number = [&](const char* what) {
    const auto character = [&] { return std::to_integer<char>(bytes[at]); };
    const auto space = [&] { return character() == ' ' || (character() >= '\t' && character() <= '\r'); };
    while (at < bytes.size() && (space() || character() == '#')) {
      if (character() == '#') {
        while (at < bytes.size() && character() != '\n') ++at;
      } else {
        ++at;
      }
    }
    const std::size_t begin = at;
    Index value = 0;
    for (; at < bytes.size() && character() >= '0' && character() <= '9'; ++at) {
      value = value * 10 + (character() - '0');
      if (value > kMostPixels)
        fail(std::string("has a header whose ") + what + " is above " + std::to_string(kMostPixels));
    }
    if (at == begin || value < 1) fail(std::string("has a header whose ") + what + " is no number of at least 1");
    return value;
  };
  const Index width = number("width"), height = number("height"), largest = number("largest value");
  require_image_size<FileError>("image: " + name, height, width);
  if (largest > 65535) fail("has the largest value " + std::to_string(largest) + ", expected at most 65535");
  ++at;  // one white space ends the header
  const Index sample = largest > 255 ? 2 : 1;
  const Index expected = height * width * stored * sample;
  const Index held = at < bytes.size() ? static_cast<Index>(bytes.size() - at) : 0;
  if (held < expected) {
    fail("is cut short: " + std::to_string(held) + " bytes of pixels, expected " + std::to_string(expected));
  }
  const auto value = [&](Index i) {
    const std::byte* from = bytes.data() + at + static_cast<std::size_t>(i * sample);
    Index x = std::to_integer<Index>(from[0]);
    if (sample == 2) x = x * 256 + std::to_integer<Index>(from[1]);
    return static_cast<std::uint8_t>(largest == 255 ? x : ((x < largest ? x : largest) * 255 + largest / 2) / largest);
  };
  Image image({height, width, channels});
  std::uint8_t* to = image.data();
  for (Index p = 0; p < height * width; ++p, to += channels) {
    if (channels == stored) {
      for (Index c = 0; c < stored; ++c) to[c] = value(p * stored + c);
    } else if (channels == 1) {
      to[0] = grey_of(value(3 * p), value(3 * p + 1), value(3 * p + 2));
    } else {
      to[0] = to[1] = to[2] = value(p);
    }
  }
  return image;
}

}  // namespace lion::image
