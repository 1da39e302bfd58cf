#pragma once
/// What DeiT (Touvron et al., arXiv 2012.12877) does to a picture in training, one step after the other.

#include <optional>
#include <string>
#include <utility>

#include "lion/image/preprocess.hpp"
#include "lion/train/augment/crop.hpp"
#include "lion/train/augment/rand_augment.hpp"
#include "lion/train/augment/random_erasing.hpp"

namespace lion::train::augment {

/// The steps in their order; those that are absent are left out. Colour jitter is none of them: timm leaves it out
/// where RandAugment is on.
struct RecipeOptions {
  std::optional<RandomResizedCropOptions> resized_crop = RandomResizedCropOptions{};
  Index padding = 4;  ///< of random_crop, which takes the place of an absent resized_crop
  double flip = 0.5;  ///< probability, in [0, 1]
  std::optional<RandAugmentOptions> rand_augment = RandAugmentOptions{};
  image::Normalisation normalisation = image::Normalisation::imagenet(3);
  std::optional<RandomErasingOptions> erasing = RandomErasingOptions{};

  /// For 3 channels and images of more than 32 × 32.
  static RecipeOptions deit() { return {}; }
  /// DeiT's for images of up to 32 × 32: a window of the picture framed by 4 black pixels, not resized.
  static RecipeOptions deit_small_images() {
    RecipeOptions options;
    options.resized_crop.reset();
    return options;
  }
};

/// Crop, flip, RandAugment, normalise, erase: a function of the picture and of where `random` stands.
class Recipe {
 public:
  explicit Recipe(RecipeOptions options = RecipeOptions::deit()) : options_(std::move(options)) {
    if (!(options_.flip >= 0 && options_.flip <= 1)) {
      throw ArgumentError("Recipe: flip is " + std::to_string(options_.flip) + ", expected a value in [0, 1]");
    }
    if (options_.padding < 0) {
      throw ArgumentError("Recipe: padding is " + std::to_string(options_.padding) + ", expected at least 0");
    }
    if (options_.resized_crop) resized_crop_.emplace(*options_.resized_crop);
    if (options_.rand_augment) rand_augment_.emplace(*options_.rand_augment);
    if (options_.erasing) erasing_.emplace(*options_.erasing);
  }

  /// out [channels,height,width] from in [height,width,channels] of any size.
  void operator()(const image::ConstPixels& in, const View<float, 3>& out, Random& random) const {
    require_shape<3>("Recipe", "out", out.shape(), {in.extent(2), -1, -1}, " to match the channels of in");
    Image picture({out.extent(1), out.extent(2), in.extent(2)});
    if (resized_crop_) {
      (*resized_crop_)(in, picture.view(), random);
    } else {
      random_crop(in, options_.padding, picture.view(), random);
    }
    if (random.uniform() < options_.flip) flip_horizontally(picture.view());
    if (rand_augment_) (*rand_augment_)(picture, random);
    image::normalise(picture, options_.normalisation, out);
    if (erasing_) (*erasing_)(out, random);
  }

 private:
  RecipeOptions options_;
  std::optional<RandomResizedCrop> resized_crop_;
  std::optional<RandAugment> rand_augment_;
  std::optional<RandomErasing> erasing_;
};

}  // namespace lion::train::augment
