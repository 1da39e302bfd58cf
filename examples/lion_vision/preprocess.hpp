#pragma once
/// From a picture to what a model was trained on.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "lion/core/tensor.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/nn/resample.hpp"
#include "lion_vision/image.hpp"

namespace lion::examples {

/// How pictures were prepared in training, as timm says it.
struct Preprocessing {
  std::vector<double> mean, deviation;  ///< one per channel, of pixels in [0, 1]
  double crop = 0.875;                  ///< side of what is kept over the short side of the resized picture
};

namespace detail {
/// "0.485, 0.456, 0.406", perhaps in brackets: one number for each channel, or one for all.
inline std::vector<double> numbers(const std::string& key, const std::string& text, Index count) {
  const auto fail = [&] {
    throw ArgumentError(key + " is '" + text + "', expected " + std::to_string(count) + " finite numbers");
  };
  std::vector<double> values;
  std::string rest = text;
  std::replace_if(
      rest.begin(), rest.end(), [](char c) { return c == '[' || c == ']' || c == '(' || c == ')'; }, ' ');
  const char* at = rest.c_str();
  for (;;) {
    char* end = nullptr;
    const double value = std::strtod(at, &end);
    if (end == at || !std::isfinite(value)) fail();
    values.push_back(value);
    while (*end == ' ') ++end;
    if (*end == '\0') break;
    if (*end != ',') fail();
    at = end + 1;
  }
  if (values.size() == 1) values.resize(static_cast<std::size_t>(count), values.front());
  if (static_cast<Index>(values.size()) != count) fail();
  return values;
}
}  // namespace detail

/// From the keys mean, std and crop_pct of a file's metadata; where they are missing, ImageNet's.
inline Preprocessing preprocessing_of(const io::Metadata& metadata, Index channels) {
  const auto value = [&](const char* key, const char* otherwise) {
    const auto at = metadata.find(key);
    return at == metadata.end() ? std::string(otherwise) : at->second;
  };
  Preprocessing p;
  p.mean = detail::numbers("mean", value("mean", channels == 3 ? "0.485, 0.456, 0.406" : "0.449"), channels);
  p.deviation = detail::numbers("std", value("std", channels == 3 ? "0.229, 0.224, 0.225" : "0.226"), channels);
  p.crop = detail::numbers("crop_pct", value("crop_pct", "0.875"), 1).front();
  if (!(p.crop > 0 && p.crop <= 1)) {
    throw ArgumentError("crop_pct is " + std::to_string(p.crop) + ", expected a value in (0, 1]");
  }
  for (double d : p.deviation) {
    if (!(d > 0)) throw ArgumentError("std has the value " + std::to_string(d) + ", expected values above 0");
  }
  return p;
}

/// [1,channels,side,side]: the short side becomes side/crop (bicubic, a = -0.5, antialiased, clipped to [0, 1]), the
/// middle is cut out, mean and deviation are taken off.
inline Tensor<float, 4> preprocess(const Picture& picture, const Preprocessing& p, Index side) {
  const auto scaled = static_cast<Index>(std::floor(static_cast<double>(side) / p.crop));
  const Index low = (std::min)(picture.height, picture.width);
  const Index height = scaled * picture.height / low, width = scaled * picture.width / low;
  const Index channels = picture.channels;

  Arena counting;
  nn::GridResampling<float>(picture.height, picture.width, height, width, channels, counting);
  Workspace workspace;
  workspace.reserve(counting.used() + kAlignment);
  Arena arena = workspace.arena();
  const nn::GridResampling<float> resampling(picture.height, picture.width, height, width, channels, arena);
  std::vector<float> resized(static_cast<std::size_t>(height * width * channels));  // [height,width,channels]
  resampling.forward(picture.pixels.data(), resized.data());

  const auto middle = [&](Index extent) {
    return static_cast<Index>(std::nearbyint(static_cast<double>(extent - side) / 2));
  };
  const Index top = middle(height), left = middle(width);
  Tensor<float, 4> image({1, channels, side, side});
  for (Index c = 0; c < channels; ++c) {
    const auto mean = static_cast<float>(p.mean[static_cast<std::size_t>(c)]);
    const auto deviation = static_cast<float>(p.deviation[static_cast<std::size_t>(c)]);
    for (Index y = 0; y < side; ++y) {
      for (Index x = 0; x < side; ++x) {
        const float pixel = resized[static_cast<std::size_t>(((top + y) * width + left + x) * channels + c)];
        image(0, c, y, x) = ((std::clamp)(pixel, 0.0f, 1.0f) - mean) / deviation;
      }
    }
  }
  return image;
}

}  // namespace lion::examples
