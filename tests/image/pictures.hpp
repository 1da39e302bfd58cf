#pragma once
/// Pictures for tests, and a number that says whether two are the same to the last bit.

#include <cstdint>

#include "lion/image/image.hpp"

/// Pixels that a formula gives, so that another program can have them too.
inline lion::image::Image picture(lion::Index height, lion::Index width, lion::Index channels = 3) {
  lion::image::Image image({height, width, channels});
  for (lion::Index y = 0; y < height; ++y) {
    for (lion::Index x = 0; x < width; ++x) {
      for (lion::Index c = 0; c < channels; ++c) {
        image(y, x, c) = static_cast<std::uint8_t>((3 * x * x + 7 * y + 5 * x * y + 83 * c) % 256);
      }
    }
  }
  return image;
}

/// FNV-1a (Fowler, Noll, Vo) of 64 bits over the bytes of the pixels, row-major.
inline std::uint64_t fnv(const lion::image::ConstPixels& image) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (lion::Index y = 0; y < image.extent(0); ++y) {
    for (lion::Index x = 0; x < image.extent(1); ++x) {
      for (lion::Index c = 0; c < image.extent(2); ++c) hash = (hash ^ image(y, x, c)) * 0x100000001b3;
    }
  }
  return hash;
}
