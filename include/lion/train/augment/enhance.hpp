#pragma once
/// Blends of a picture with a poorer one of its own, as Pillow's ImageEnhance: factor 0 gives the poorer one, 1 the
/// picture, and factors above 1 go beyond it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "lion/image/image.hpp"
#include "lion/train/augment/point.hpp"

namespace lion::train::augment {

namespace detail {
/// poor + factor·(value − poor), cut off to a whole number in [0, 255]. Product and sum are rounded to float one after
/// the other, as Pillow has them, whether or not the compiler fuses.
inline std::uint8_t blended(int poor, int value, float factor) {
  const auto product = static_cast<float>(static_cast<double>(factor) * (value - poor));
  const auto sum = static_cast<float>(static_cast<double>(product) + poor);
  return static_cast<std::uint8_t>((std::clamp)(sum, 0.0f, 255.0f));
}

inline void require_factor(const char* operation, double factor) {
  if (std::isfinite(factor)) return;
  throw ArgumentError(std::string(operation) + ": factor is " + std::to_string(factor) + ", expected a finite value");
}

/// Grey value of a pixel of one or three channels.
inline int grey(const Pixels& pixels, Index y, Index x) {
  return pixels.extent(2) == 3 ? image::grey_of(pixels(y, x, 0), pixels(y, x, 1), pixels(y, x, 2)) : pixels(y, x, 0);
}

inline void require_colour(const char* operation, Index channels) {
  if (channels == 1 || channels == 3) return;
  throw ArgumentError(std::string(operation) + ": pixels have " + std::to_string(channels) +
                      " channels, expected 1 or 3");
}
}  // namespace detail

/// Against black.
inline void brightness(const Pixels& pixels, double factor) {
  detail::require_factor("brightness", factor);
  detail::map_values(pixels, [&](int v) { return detail::blended(0, v, static_cast<float>(factor)); });
}

/// Against the picture's mean grey. 1 or 3 channels.
inline void contrast(const Pixels& pixels, double factor) {
  detail::require_factor("contrast", factor);
  detail::require_colour("contrast", pixels.extent(2));
  std::int64_t sum = 0;
  for (Index y = 0; y < pixels.extent(0); ++y) {
    for (Index x = 0; x < pixels.extent(1); ++x) sum += detail::grey(pixels, y, x);
  }
  const double pixel_count = static_cast<double>(pixels.extent(0) * pixels.extent(1));
  const int mean = static_cast<int>(static_cast<double>(sum) / pixel_count + 0.5);
  detail::map_values(pixels, [&](int v) { return detail::blended(mean, v, static_cast<float>(factor)); });
}

/// Against the picture in grey. 1 (which stay as they are) or 3 channels.
inline void colour(const Pixels& pixels, double factor) {
  detail::require_factor("colour", factor);
  detail::require_colour("colour", pixels.extent(2));
  if (pixels.extent(2) == 1) return;
  for (Index y = 0; y < pixels.extent(0); ++y) {
    for (Index x = 0; x < pixels.extent(1); ++x) {
      const int grey = detail::grey(pixels, y, x);
      for (Index c = 0; c < 3; ++c) {
        pixels(y, x, c) = detail::blended(grey, pixels(y, x, c), static_cast<float>(factor));
      }
    }
  }
}

/// Against the picture smoothed by the kernel (1 1 1; 1 5 1; 1 1 1)/13, of which the outermost pixels are left as they
/// are. out is of in's shape and must not overlap it.
inline void sharpness(const ConstPixels& in, double factor, const Pixels& out) {
  detail::require_factor("sharpness", factor);
  require_shape<3>("sharpness", "out", out.shape(), in.shape(), " to match in");
  const Index height = in.extent(0), width = in.extent(1);
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x) {
      const bool outermost = y == 0 || x == 0 || y == height - 1 || x == width - 1;
      for (Index c = 0; c < in.extent(2); ++c) {
        int smooth = in(y, x, c);
        if (!outermost) {
          int sum = 4 * smooth;
          for (Index j = y - 1; j <= y + 1; ++j) {
            for (Index i = x - 1; i <= x + 1; ++i) sum += in(j, i, c);
          }
          smooth = (2 * sum + 13) / 26;  // sum/13, rounded
        }
        out(y, x, c) = detail::blended(smooth, in(y, x, c), static_cast<float>(factor));
      }
    }
  }
}

}  // namespace lion::train::augment
