#pragma once
/// RandAugment (Cubuk et al., arXiv 1909.13719) as timm has it and DeiT uses it: `rand-m9-mstd0.5-inc1`.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/train/augment/affine.hpp"
#include "lion/train/augment/enhance.hpp"
#include "lion/train/random.hpp"

namespace lion::train::augment {

/// What RandAugment chooses from, each alike.
enum class Operation {
  auto_contrast,
  equalise,
  invert,
  rotate,
  posterise,
  solarise,
  solarise_add,
  colour,
  contrast,
  brightness,
  sharpness,
  shear_x,
  shear_y,
  translate_x,
  translate_y
};
inline constexpr Index kOperations = 15;

struct RandAugmentOptions {
  double magnitude = 9;      ///< mean of the level, in [0, 10]
  double deviation = 0.5;    ///< of the level, normally distributed and then cut off to [0, 10]; ≥ 0
  Index layers = 2;          ///< operations drawn, with replacement, one after the other; ≥ 0
  double probability = 0.5;  ///< that an operation drawn is carried out, in [0, 1]
  std::vector<std::uint8_t> fill{124, 116, 104};  ///< what moves in from outside, one per channel: ImageNet's mean
};

/// Applies one operation at a level in [0, 10]; `negative` turns the sense of those that have two. timm's "increasing"
/// set: strength grows with the level in every one,
///
///     rotate ±3·level degrees                        shear ±0.03·level          translate ±0.045·level of the side
///     colour, contrast, brightness, sharpness: factor 1 ± 0.09·level
///     posterise to 4 − ⌊0.4·level⌋ bits              solarise from 256 − ⌊25.6·level⌋ on
///     solarise_add ⌊11·level⌋                        the others have none
inline void apply(Operation operation, double level, bool negative, std::span<const std::uint8_t> fill,
                  Image& picture) {
  const auto part = level / 10;
  const double sign = negative ? -1 : 1;
  const Pixels pixels = picture.view();
  const auto moved = [&](auto&& move, double amount) {
    Image out(picture.shape());
    move(ConstPixels(pixels), amount, fill, out.view());
    picture = std::move(out);
  };
  switch (operation) {
    case Operation::auto_contrast:
      return auto_contrast(pixels);
    case Operation::equalise:
      return equalise(pixels);
    case Operation::invert:
      return invert(pixels);
    case Operation::rotate:
      return moved(rotate, sign * part * 30);
    case Operation::posterise:
      return posterise(pixels, 4 - static_cast<int>(part * 4));
    case Operation::solarise:
      return solarise(pixels, 256 - static_cast<int>(part * 256));
    case Operation::solarise_add:
      return solarise_add(pixels, static_cast<int>(part * 110));
    case Operation::colour:
      return colour(pixels, 1 + sign * part * 0.9);
    case Operation::contrast:
      return contrast(pixels, 1 + sign * part * 0.9);
    case Operation::brightness:
      return brightness(pixels, 1 + sign * part * 0.9);
    case Operation::sharpness: {
      Image out(picture.shape());
      sharpness(pixels, 1 + sign * part * 0.9, out.view());
      picture = std::move(out);
      return;
    }
    case Operation::shear_x:
      return moved(shear_x, sign * part * 0.3);
    case Operation::shear_y:
      return moved(shear_y, sign * part * 0.3);
    case Operation::translate_x:
      return moved(translate_x, sign * part * 0.45 * static_cast<double>(picture.extent(1)));
    case Operation::translate_y:
      return moved(translate_y, sign * part * 0.45 * static_cast<double>(picture.extent(0)));
  }
}

/// Draws operations and levels and applies them: a function of the picture and of where `random` stands.
class RandAugment {
 public:
  explicit RandAugment(RandAugmentOptions options = {}) : options_(std::move(options)) {
    const auto require = [](bool good, const char* name, double value, const char* expected) {
      if (good) return;
      throw ArgumentError(std::string("RandAugment: ") + name + " is " + std::to_string(value) + ", expected " +
                          expected);
    };
    const RandAugmentOptions& o = options_;
    require(o.magnitude >= 0 && o.magnitude <= 10, "magnitude", o.magnitude, "a value in [0, 10]");
    require(o.deviation >= 0 && std::isfinite(o.deviation), "deviation", o.deviation, "a finite value of at least 0");
    require(o.layers >= 0, "layers", static_cast<double>(o.layers), "at least 0");
    require(o.probability >= 0 && o.probability <= 1, "probability", o.probability, "a value in [0, 1]");
  }

  /// 1 or 3 channels, as many as `fill` has values.
  void operator()(Image& picture, Random& random) const {
    require_shape<1>("RandAugment", "fill", {static_cast<Index>(options_.fill.size())}, {picture.extent(2)},
                     " to match the channels");
    for (Index layer = 0; layer < options_.layers; ++layer) {
      const auto operation = static_cast<Operation>(random.below(kOperations));
      if (random.uniform() >= options_.probability) continue;
      const double level = (std::clamp)(options_.magnitude + options_.deviation * random.normal(), 0.0, 10.0);
      apply(operation, level, random.uniform() >= 0.5, options_.fill, picture);
    }
  }

 private:
  RandAugmentOptions options_;
};

}  // namespace lion::train::augment
