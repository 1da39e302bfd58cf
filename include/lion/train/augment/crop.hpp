#pragma once
/// Random windows of a picture, and its mirror image.

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "lion/image/resize.hpp"
#include "lion/train/random.hpp"

namespace lion::train::augment {

struct RandomResizedCropOptions {
  std::array<double, 2> scale{0.08, 1.0};             ///< of the window's area to the picture's, in (0, 1]
  std::array<double, 2> ratio{3.0 / 4.0, 4.0 / 3.0};  ///< of the window's width to its height, > 0
};

/// A window of rows and columns.
struct Window {
  Index top = 0, left = 0, height = 0, width = 0;
};

/// The crop of Inception (Szegedy et al., arXiv 1409.4842) as torchvision's RandomResizedCrop draws it: area uniform,
/// ratio log-uniform, tried ten times until the window fits; then the middle, as much of it as the ratios allow.
class RandomResizedCrop {
 public:
  explicit RandomResizedCrop(const RandomResizedCropOptions& options = {}) : options_(options) {
    const auto [low, high] = options.scale;
    if (!(low > 0 && low <= high && high <= 1)) {
      throw ArgumentError("RandomResizedCrop: scale is [" + std::to_string(low) + ", " + std::to_string(high) +
                          "], expected 0 < low <= high <= 1");
    }
    const auto [narrow, wide] = options.ratio;
    if (!(narrow > 0 && narrow <= wide && std::isfinite(wide))) {
      throw ArgumentError("RandomResizedCrop: ratio is [" + std::to_string(narrow) + ", " + std::to_string(wide) +
                          "], expected finite 0 < low <= high");
    }
  }

  /// A window of a picture of this size, both ≥ 1.
  Window draw(Index height, Index width, Random& random) const {
    const auto [narrow, wide] = options_.ratio;
    const double area = static_cast<double>(height) * static_cast<double>(width);
    const auto uniform = [&](double low, double high) { return low + (high - low) * random.uniform(); };
    const auto rounded = [](double x) { return static_cast<Index>(std::nearbyint(x)); };
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double target = area * uniform(options_.scale[0], options_.scale[1]);
      const double ratio = std::exp(uniform(std::log(narrow), std::log(wide)));
      const Index w = rounded(std::sqrt(target * ratio)), h = rounded(std::sqrt(target / ratio));
      if (w < 1 || h < 1 || w > width || h > height) continue;
      const Index top = random.below(height - h + 1);
      return {top, random.below(width - w + 1), h, w};
    }
    Index w = width, h = height;
    const double own = static_cast<double>(width) / static_cast<double>(height);
    if (own < narrow) h = (std::clamp)(rounded(static_cast<double>(w) / narrow), Index(1), height);
    if (own > wide) w = (std::clamp)(rounded(static_cast<double>(h) * wide), Index(1), width);
    return {(height - h) / 2, (width - w) / 2, h, w};
  }

  /// Draws a window of in and resizes it to out, whose channels are in's.
  void operator()(const image::ConstPixels& in, const image::Pixels& out, Random& random) const {
    image::require_pixels("RandomResizedCrop", "in", in);
    const Window window = draw(in.extent(0), in.extent(1), random);
    image::resize(image::crop(in, window.top, window.left, window.height, window.width), out);
  }

 private:
  RandomResizedCropOptions options_;
};

/// A window of out's size of the picture in a frame of `padding` black pixels (torchvision's RandomCrop): what DeiT
/// takes instead of RandomResizedCrop for images of up to 32 × 32. out must fit the framed picture.
inline void random_crop(const image::ConstPixels& in, Index padding, const image::Pixels& out, Random& random) {
  const Index height = out.extent(0), width = out.extent(1), channels = in.extent(2);
  const Index free_rows = in.extent(0) + 2 * padding - height, free_columns = in.extent(1) + 2 * padding - width;
  if (padding < 0 || free_rows < 0 || free_columns < 0 || out.extent(2) != channels) {
    throw ArgumentError("random_crop: out has shape " + to_string(out.shape()) + ", expected at most " +
                        to_string(in.shape()) + " and twice the padding " + std::to_string(padding));
  }
  const Index top = random.below(free_rows + 1) - padding, left = random.below(free_columns + 1) - padding;
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x) {
      const Index from_y = top + y, from_x = left + x;
      const bool inside = from_y >= 0 && from_y < in.extent(0) && from_x >= 0 && from_x < in.extent(1);
      for (Index c = 0; c < channels; ++c) out(y, x, c) = inside ? in(from_y, from_x, c) : std::uint8_t{0};
    }
  }
}

/// Left becomes right, in place.
inline void flip_horizontally(const image::Pixels& pixels) {
  for (Index y = 0; y < pixels.extent(0); ++y) {
    for (Index x = 0; x < pixels.extent(1) / 2; ++x) {
      for (Index c = 0; c < pixels.extent(2); ++c) std::swap(pixels(y, x, c), pixels(y, pixels.extent(1) - 1 - x, c));
    }
  }
}

}  // namespace lion::train::augment
