#pragma once
/// Random erasing (Zhong et al., arXiv 1708.04896) as timm's RandomErasing in mode `pixel`.

#include <array>
#include <cmath>
#include <string>

#include "lion/core/view.hpp"
#include "lion/train/random.hpp"

namespace lion::train::augment {

struct RandomErasingOptions {
  double probability = 0.25;                  ///< in [0, 1]
  std::array<double, 2> area{0.02, 1.0 / 3};  ///< of the rectangle to the picture's, in [0, 1]
  double ratio = 0.3;                         ///< of height to width, log-uniform in [ratio, 1/ratio]; in (0, 1]
};

/// With some probability replaces a rectangle of a normalised picture by normal noise, each value its own. Ten tries
/// are made to find one that fits; if none does the picture stays.
class RandomErasing {
 public:
  explicit RandomErasing(const RandomErasingOptions& options = {}) : options_(options) {
    if (!(options.probability >= 0 && options.probability <= 1)) {
      throw ArgumentError("RandomErasing: probability is " + std::to_string(options.probability) +
                          ", expected a value in [0, 1]");
    }
    if (!(options.area[0] >= 0 && options.area[0] <= options.area[1] && options.area[1] <= 1)) {
      throw ArgumentError("RandomErasing: area is [" + std::to_string(options.area[0]) + ", " +
                          std::to_string(options.area[1]) + "], expected 0 <= low <= high <= 1");
    }
    if (!(options.ratio > 0 && options.ratio <= 1)) {
      throw ArgumentError("RandomErasing: ratio is " + std::to_string(options.ratio) + ", expected a value in (0, 1]");
    }
  }

  /// picture [channels,height,width], in place.
  template <Real S>
  void operator()(const View<S, 3>& picture, Random& random) const {
    if (random.uniform() >= options_.probability) return;
    const Index height = picture.extent(1), width = picture.extent(2);
    const double area = static_cast<double>(height * width);
    const double log_ratio = std::log(options_.ratio);
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double target = area * (options_.area[0] + (options_.area[1] - options_.area[0]) * random.uniform());
      const double ratio = std::exp(log_ratio * (1 - 2 * random.uniform()));
      const auto h = static_cast<Index>(std::nearbyint(std::sqrt(target * ratio)));
      const auto w = static_cast<Index>(std::nearbyint(std::sqrt(target / ratio)));
      if (h >= height || w >= width) continue;
      const Index top = random.below(height - h + 1), left = random.below(width - w + 1);
      for (Index c = 0; c < picture.extent(0); ++c) {
        for (Index y = top; y < top + h; ++y) {
          for (Index x = left; x < left + w; ++x) picture(c, y, x) = static_cast<S>(random.normal());
        }
      }
      return;
    }
  }

 private:
  RandomErasingOptions options_;
};

}  // namespace lion::train::augment
