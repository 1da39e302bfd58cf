#pragma once
/// From a picture to what a model takes.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lion/image/resize.hpp"

namespace lion::image {

/// Mean and standard deviation of the values, one per channel, of pixels in [0, 1].
struct Normalisation {
  std::vector<double> mean, deviation;

  /// ImageNet's, as timm and torchvision have them: of three channels, or their means for any other number.
  static Normalisation imagenet(Index channels) {
    if (channels == 3) return {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
    const auto n = static_cast<std::size_t>(channels);
    return {std::vector<double>(n, 0.449), std::vector<double>(n, 0.226)};
  }

  /// Throws ArgumentError unless there is one finite mean and one deviation above 0 for each channel.
  void check(const char* operation, Index channels) const {
    const auto count = [&](const char* name, const std::vector<double>& values) {
      require_shape<1>(operation, name, {static_cast<Index>(values.size())}, {channels}, " to match the channels");
    };
    count("mean", mean);
    count("std", deviation);
    for (double m : mean) {
      if (!std::isfinite(m)) {
        throw ArgumentError(std::string(operation) + ": mean has the value " + std::to_string(m) +
                            ", expected finite values");
      }
    }
    for (double d : deviation) {
      if (!(d > 0)) {
        throw ArgumentError(std::string(operation) + ": std has the value " + std::to_string(d) +
                            ", expected values above 0");
      }
    }
  }
};

/// out [channels,height,width] = (in/255 − mean)/deviation from in [height,width,channels].
inline void normalise(const ConstPixels& in, const Normalisation& normalisation, const View<float, 3>& out) {
  const Index height = in.extent(0), width = in.extent(1), channels = in.extent(2);
  normalisation.check("normalise", channels);
  require_shape<3>("normalise", "out", out.shape(), {channels, height, width}, " to match in");
  for (Index c = 0; c < channels; ++c) {
    const auto mean = static_cast<float>(normalisation.mean[static_cast<std::size_t>(c)]);
    const auto deviation = static_cast<float>(normalisation.deviation[static_cast<std::size_t>(c)]);
    for (Index y = 0; y < height; ++y) {
      for (Index x = 0; x < width; ++x) {
        out(c, y, x) = (static_cast<float>(in(y, x, c)) / 255.0f - mean) / deviation;
      }
    }
  }
}

/// How pictures are prepared for a trained model: the short side becomes ⌊side/crop⌋, the middle side × side is cut
/// out, mean and deviation are taken off.
struct Preprocessing {
  Normalisation normalisation;
  double crop = 0.875;  ///< in (0, 1]; timm's crop_pct

  void check(Index channels) const {
    normalisation.check("preprocess", channels);
    if (!(crop > 0 && crop <= 1)) {
      throw ArgumentError("preprocess: crop_pct is " + std::to_string(crop) + ", expected a value in (0, 1]");
    }
  }

  /// out [channels,side,side] from in [height,width,channels] of any size.
  void operator()(const ConstPixels& in, const View<float, 3>& out) const {
    check(in.extent(2));
    const Index side = out.extent(1);
    require_shape<3>("preprocess", "out", out.shape(), {in.extent(2), side, side}, ", a square");
    // A crop near 0 asks for a side that no Index holds; resize_short refuses far shorter ones.
    const double before = (std::min)(std::floor(static_cast<double>(side) / crop), static_cast<double>(kMostPixels));
    const Image resized = resize_short(in, static_cast<Index>(before));
    normalise(centre_crop(resized, side), normalisation, out);
  }
};

namespace detail {
/// "0.485, 0.456, 0.406", perhaps in brackets: one number for each channel, or one for all.
inline std::vector<double> numbers(const std::string& key, const std::string& text, Index count) {
  const auto fail = [&] {
    throw ArgumentError("preprocess: " + key + " is '" + text + "', expected " + std::to_string(count) +
                        (count == 1 ? " finite number" : " finite numbers"));
  };
  std::vector<double> values;
  std::string rest = text;
  std::replace_if(
      rest.begin(), rest.end(), [](char c) { return c == '[' || c == ']' || c == '(' || c == ')'; }, ' ');
  const char *at = rest.data(), *const last = at + rest.size();
  const auto pass_blanks = [&] { at = std::find_if(at, last, [](char c) { return c != ' '; }); };
  for (;;) {
    pass_blanks();
    double value = 0;
    const auto [end, error] = std::from_chars(at, last, value);  // whatever the locale's decimal point is
    if (error != std::errc() || !std::isfinite(value)) fail();
    values.push_back(value);
    at = end;
    pass_blanks();
    if (at == last) break;
    if (*at++ != ',') fail();
  }
  if (values.size() == 1) values.resize(static_cast<std::size_t>(count), values.front());
  if (static_cast<Index>(values.size()) != count) fail();
  return values;
}
}  // namespace detail

/// From the keys mean, std and crop_pct of a weights file's metadata, as timm names them; where they are missing,
/// ImageNet's and 0.875. Throws ArgumentError that names the key.
inline Preprocessing preprocessing_from(const std::map<std::string, std::string, std::less<>>& metadata,
                                        Index channels) {
  Preprocessing p{Normalisation::imagenet(channels)};
  const auto read = [&](const char* key, auto&& store) {
    if (const auto at = metadata.find(key); at != metadata.end()) store(at->second);
  };
  read("mean", [&](const std::string& text) { p.normalisation.mean = detail::numbers("mean", text, channels); });
  read("std", [&](const std::string& text) { p.normalisation.deviation = detail::numbers("std", text, channels); });
  read("crop_pct", [&](const std::string& text) { p.crop = detail::numbers("crop_pct", text, 1).front(); });
  p.check(channels);
  return p;
}

}  // namespace lion::image
