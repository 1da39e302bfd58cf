#pragma once
/// Turning, shearing and shifting, as Pillow's Image.transform(AFFINE, BICUBIC) and Image.rotate(BICUBIC).

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>
#include <string>

#include "lion/train/augment/point.hpp"

namespace lion::train::augment {

/// Where the output takes its pixels from: the point (x, y), pixel centres being at halves, from
/// (m0·x + m1·y + m2, m3·x + m4·y + m5).
using AffineMap = std::array<double, 6>;

namespace detail {
/// Cubic through four values (Keys' kernel with a = −1), at d in [0, 1) between the middle two.
inline double cubic(double v1, double v2, double v3, double v4, double d) {
  const double p2 = v3 - v1, p3 = 2 * (v1 - v2) + v3 - v4, p4 = v2 - v1 + v4 - v3;
  return v2 + d * (p2 + d * (p3 + d * p4));
}
}  // namespace detail

/// out is in seen through the map, bicubically, edges repeated and values cut off to whole numbers; what comes from
/// outside of in becomes `fill`, one value per channel. out is of in's shape and must not overlap it.
inline void affine(const ConstPixels& in, const AffineMap& m, std::span<const std::uint8_t> fill, const Pixels& out) {
  require_shape<3>("affine", "out", out.shape(), in.shape(), " to match in");
  require_shape<1>("affine", "fill", {static_cast<Index>(fill.size())}, {in.extent(2)}, " to match the channels of in");
  for (double value : m) {
    if (!std::isfinite(value)) throw ArgumentError("affine: the map has a value that is not finite");
  }
  const Index height = in.extent(0), width = in.extent(1), channels = in.extent(2);
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x) {
      const double at_x = static_cast<double>(x) + 0.5, at_y = static_cast<double>(y) + 0.5;
      const double from_x = m[0] * at_x + m[1] * at_y + m[2], from_y = m[3] * at_x + m[4] * at_y + m[5];
      if (!(from_x >= 0 && from_x < static_cast<double>(width) && from_y >= 0 &&
            from_y < static_cast<double>(height))) {
        std::copy(fill.begin(), fill.end(), out.at(y, x));
        continue;
      }
      const double left = std::floor(from_x - 0.5), top = std::floor(from_y - 0.5);
      const double dx = from_x - 0.5 - left, dy = from_y - 0.5 - top;
      std::array<Index, 4> columns{}, rows{};
      for (Index j = 0; j < 4; ++j) {
        const auto k = static_cast<std::size_t>(j);
        columns[k] = (std::clamp)(static_cast<Index>(left) - 1 + j, Index(0), width - 1);
        rows[k] = (std::clamp)(static_cast<Index>(top) - 1 + j, Index(0), height - 1);
      }
      for (Index c = 0; c < channels; ++c) {
        std::array<double, 4> across{};
        for (std::size_t j = 0; j < 4; ++j) {
          across[j] = detail::cubic(in(rows[j], columns[0], c), in(rows[j], columns[1], c), in(rows[j], columns[2], c),
                                    in(rows[j], columns[3], c), dx);
        }
        const double value = detail::cubic(across[0], across[1], across[2], across[3], dy);
        out(y, x, c) = static_cast<std::uint8_t>((std::clamp)(value, 0.0, 255.0));
      }
    }
  }
}

/// Counter-clockwise about the middle.
inline void rotate(const ConstPixels& in, double degrees, std::span<const std::uint8_t> fill, const Pixels& out) {
  const double angle = -degrees * std::numbers::pi / 180;
  // To 15 decimals, so that a quarter turn is one.
  const auto rounded = [](double v) { return std::nearbyint(v * 1e15) / 1e15; };
  const double c = rounded(std::cos(angle)), s = rounded(std::sin(angle));
  const double x = static_cast<double>(in.extent(1)) / 2, y = static_cast<double>(in.extent(0)) / 2;
  affine(in, {c, s, x - c * x - s * y, -s, c, y + s * x - c * y}, fill, out);
}

/// Row y, counted from the top edge, is taken from factor·y further right.
inline void shear_x(const ConstPixels& in, double factor, std::span<const std::uint8_t> fill, const Pixels& out) {
  affine(in, {1, factor, 0, 0, 1, 0}, fill, out);
}
/// Column x, counted from the left edge, is taken from factor·x further down.
inline void shear_y(const ConstPixels& in, double factor, std::span<const std::uint8_t> fill, const Pixels& out) {
  affine(in, {1, 0, 0, factor, 1, 0}, fill, out);
}

/// To the left by `pixels`.
inline void translate_x(const ConstPixels& in, double pixels, std::span<const std::uint8_t> fill, const Pixels& out) {
  affine(in, {1, 0, pixels, 0, 1, 0}, fill, out);
}
/// Upwards by `pixels`.
inline void translate_y(const ConstPixels& in, double pixels, std::span<const std::uint8_t> fill, const Pixels& out) {
  affine(in, {1, 0, 0, 0, 1, pixels}, fill, out);
}

}  // namespace lion::train::augment
