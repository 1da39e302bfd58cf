#pragma once
/// Changes of pixels one by one, each channel by a table of 256 values: what Pillow's ImageOps of these names do.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "lion/image/image.hpp"

namespace lion::train::augment {

using image::ConstPixels;
using image::Image;
using image::Pixels;

namespace detail {
using Table = std::array<std::uint8_t, 256>;

inline void apply_table(const Pixels& pixels, Index c, const Table& table) {
  for (Index y = 0; y < pixels.extent(0); ++y) {
    for (Index x = 0; x < pixels.extent(1); ++x) pixels(y, x, c) = table[pixels(y, x, c)];
  }
}

/// value(v) for each v in 0 … 255, the same for every channel.
template <class F>
void map_values(const Pixels& pixels, F&& value) {
  Table table{};
  for (int v = 0; v < 256; ++v) table[static_cast<std::size_t>(v)] = static_cast<std::uint8_t>(value(v));
  for (Index c = 0; c < pixels.extent(2); ++c) apply_table(pixels, c, table);
}

inline std::array<std::int64_t, 256> histogram(const Pixels& pixels, Index c) {
  std::array<std::int64_t, 256> counts{};
  for (Index y = 0; y < pixels.extent(0); ++y) {
    for (Index x = 0; x < pixels.extent(1); ++x) ++counts[pixels(y, x, c)];
  }
  return counts;
}

inline void require_in(const char* operation, const char* argument, int value, int low, int high) {
  if (value >= low && value <= high) return;
  throw ArgumentError(std::string(operation) + ": " + argument + " is " + std::to_string(value) +
                      ", expected a value in [" + std::to_string(low) + ", " + std::to_string(high) + "]");
}
}  // namespace detail

/// v → 255 − v.
inline void invert(const Pixels& pixels) {
  detail::map_values(pixels, [](int v) { return 255 - v; });
}

/// Keeps the `bits` highest bits of each value; in [0, 8].
inline void posterise(const Pixels& pixels, int bits) {
  detail::require_in("posterise", "bits", bits, 0, 8);
  const int mask = 256 - (1 << (8 - bits));
  detail::map_values(pixels, [&](int v) { return v & mask; });
}

/// Inverts values of at least `threshold`; in [0, 256].
inline void solarise(const Pixels& pixels, int threshold) {
  detail::require_in("solarise", "threshold", threshold, 0, 256);
  detail::map_values(pixels, [&](int v) { return v < threshold ? v : 255 - v; });
}

/// Adds `amount`, in [0, 255], to values below `threshold`, up to 255 (timm's SolarizeAdd).
inline void solarise_add(const Pixels& pixels, int amount, int threshold = 128) {
  detail::require_in("solarise_add", "amount", amount, 0, 255);
  detail::map_values(pixels, [&](int v) { return v < threshold ? (std::min)(255, v + amount) : v; });
}

/// Stretches each channel so that its darkest value becomes 0 and its lightest 255: v → ⌊255·(v − darkest)/(lightest −
/// darkest)⌋ (Pillow computes this in floating point and so is now and then one lower). A channel of one value stays.
inline void auto_contrast(const Pixels& pixels) {
  for (Index c = 0; c < pixels.extent(2); ++c) {
    const auto counts = detail::histogram(pixels, c);
    const auto present = [](std::int64_t n) { return n > 0; };
    const auto low = std::find_if(counts.begin(), counts.end(), present) - counts.begin();
    const auto high = counts.rend() - std::find_if(counts.rbegin(), counts.rend(), present) - 1;
    if (high <= low) continue;
    detail::Table table{};
    for (Index v = low; v <= high; ++v) {
      table[static_cast<std::size_t>(v)] = static_cast<std::uint8_t>(255 * (v - low) / (high - low));
    }
    detail::apply_table(pixels, c, table);
  }
}

/// Makes each channel's histogram as flat as a table can: value v becomes the number of pixels below it over a 255th of
/// all but the lightest, rounded. A channel of one value, or of less than 255 pixels that are not the lightest, stays.
inline void equalise(const Pixels& pixels) {
  for (Index c = 0; c < pixels.extent(2); ++c) {
    const auto counts = detail::histogram(pixels, c);
    std::int64_t total = 0, last = 0;
    for (std::int64_t n : counts) {
      total += n;
      if (n > 0) last = n;
    }
    const std::int64_t step = (total - last) / 255;
    if (step == 0) continue;
    detail::Table table{};
    std::int64_t below = step / 2;
    for (std::size_t v = 0; v < 256; ++v) {
      table[v] = static_cast<std::uint8_t>((std::min)(below / step, std::int64_t{255}));
      below += counts[v];
    }
    detail::apply_table(pixels, c, table);
  }
}

}  // namespace lion::train::augment
