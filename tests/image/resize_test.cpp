#include "lion/image/resize.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "image/pictures.hpp"
#include "lion/image/preprocess.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::image;

namespace {

Image resized(const ConstPixels& in, Index height, Index width) {
  Image out({height, width, in.extent(2)});
  out.fill(111);
  resize(in, out.view());
  return out;
}

}  // namespace

TEST_CASE("resize gives Pillow's bytes") {
  // fnv of Image.resize((width, height), BICUBIC) of the same picture by Pillow 13.0.
  const Image in = picture(9, 13);
  REQUIRE(fnv(resized(in, 4, 5)) == 0xe7a7242a2ad557e5);
  REQUIRE(fnv(resized(in, 17, 20)) == 0x71d593f24a6db5a5);
  REQUIRE(fnv(resized(in, 9, 13)) == fnv(in));
  REQUIRE(fnv(resized(in, 5, 13)) == 0x7db671fb3e85dc4d);
  // Columns first also where rows first would be less work, for which Pillow 13 takes them.
  REQUIRE(fnv(resized(in, 3, 40)) == fnv(resized(resized(in, 9, 40), 3, 40)));
  REQUIRE(fnv(resized(in, 1, 1)) == 0x83811a195df6178c);
  REQUIRE(fnv(resized(picture(9, 13, 1), 11, 7)) == 0x79b502de1a3ffe7b);
  REQUIRE(fnv(resized(picture(120, 161), 37, 24)) == 0x2d17723e249d2d61);

  const Image two = resized(in, 2, 3);
  const std::vector<int> expected{49,  134, 170, 130, 137, 114, 136, 131, 117,
                                  107, 148, 133, 125, 125, 126, 134, 129, 118};
  REQUIRE(std::vector<int>(two.data(), two.data() + two.size()) == expected);
}

TEST_CASE("resize takes a window of a picture as if it were cut out first") {
  const Image in = picture(9, 13);
  REQUIRE(fnv(resized(crop(ConstPixels(in), 1, 2, 7, 8), 6, 6)) == 0x37d19a437bb3478);
}

TEST_CASE("resize_short keeps proportions and centre_crop takes the middle") {
  const Image in = picture(30, 40);
  const Image small_one = resize_short(in, 22);
  REQUIRE(small_one.shape() == Shape<3>{22, 29, 3});
  REQUIRE(resize_short(picture(40, 30), 22).shape() == Shape<3>{29, 22, 3});
  // (29 - 20)/2 = 4.5 is rounded to even.
  const ConstPixels middle = centre_crop(small_one, 20);
  REQUIRE(middle.data() == small_one.view().at(1, 4));
  REQUIRE(middle.shape() == Shape<3>{20, 20, 3});
  const Image thin({65535, 1, 1});
  require_error<ArgumentError>(
      [&] { resize_short(thin, 53); },
      "resize_short: the result has 3473355 x 53 pixels, expected at least 1 and at most 178956970");
  require_error<ArgumentError>(
      [] {
        resize_short(Image({1, 65535, 3}), 224);
      },
      "resize_short: the result has 224 x 14679840 pixels, expected at least 1 and at most 178956970");
  require_error<ArgumentError>(
      [&] { resize_short(thin, std::numeric_limits<Index>::max()); },
      "resize_short: the result has 9223372036854775807 x 9223372036854775807 pixels, expected at least 1 and at most "
      "178956970");
  require_error<ArgumentError>([&] { centre_crop(small_one, 24); },
                               "crop: the window is [24,24] at [-1,2], expected one inside [22,29,3]");
}

TEST_CASE("preprocessing is resize, crop and normalise") {
  const Image in = picture(30, 40);
  Tensor<float, 3> out({3, 20, 20});
  out.fill(std::numeric_limits<float>::quiet_NaN());
  const Preprocessing preprocess{{{0.5, 0.25, 0.0}, {0.5, 0.25, 1.0}}, 0.9};
  preprocess(in, out.view());
  const Image between = resize_short(in, 22);
  for (Index c = 0; c < 3; ++c) {
    for (Index y = 0; y < 20; ++y) {
      for (Index x = 0; x < 20; ++x) {
        const double value = between(y + 1, x + 4, c) / 255.0;
        const auto k = static_cast<std::size_t>(c);
        const double expected = (value - preprocess.normalisation.mean[k]) / preprocess.normalisation.deviation[k];
        REQUIRE(std::abs(out(c, y, x) - expected) < 1e-6);
      }
    }
  }
}

TEST_CASE("preprocessing refuses a crop so small that no picture is large enough") {
  Tensor<float, 3> out({3, 20, 20});
  const Preprocessing preprocess{Normalisation::imagenet(3), 1e-300};
  require_error<ArgumentError>(
      [&] { preprocess(picture(30, 40), out.view()); },
      "resize_short: the result has 178956970 x 178956970 pixels, expected at least 1 and at most 178956970");
}

TEST_CASE("preprocessing is read from metadata, or ImageNet's") {
  using Metadata = std::map<std::string, std::string, std::less<>>;
  const Preprocessing plain = preprocessing_from(Metadata{}, 3);
  REQUIRE(plain.normalisation.mean == std::vector<double>{0.485, 0.456, 0.406});
  REQUIRE(plain.normalisation.deviation == std::vector<double>{0.229, 0.224, 0.225});
  REQUIRE(plain.crop == 0.875);
  REQUIRE(preprocessing_from(Metadata{}, 1).normalisation.mean == std::vector<double>{0.449});
  const Preprocessing own =
      preprocessing_from(Metadata{{"mean", "(0.1, 0.2, 0.3)"}, {"std", "[0.5]"}, {"crop_pct", "1"}}, 3);
  REQUIRE(own.normalisation.mean == std::vector<double>{0.1, 0.2, 0.3});
  REQUIRE(own.normalisation.deviation == std::vector<double>{0.5, 0.5, 0.5});
  REQUIRE(own.crop == 1);

  const auto refused = [](const char* key, const char* value, const std::string& message) {
    require_error<ArgumentError>([&] { preprocessing_from(Metadata{{key, value}}, 3); }, "preprocess: " + message);
  };
  refused("mean", "0.1, 0.2", "mean is '0.1, 0.2', expected 3 finite numbers");
  refused("mean", "0.1, nan, 1", "mean is '0.1, nan, 1', expected 3 finite numbers");
  refused("std", "0.5;0.5;0.5", "std is '0.5;0.5;0.5', expected 3 finite numbers");
  refused("std", "0", "std has the value 0.000000, expected values above 0");
  refused("crop_pct", "1.5", "crop_pct is 1.500000, expected a value in (0, 1]");
  refused("crop_pct", "x", "crop_pct is 'x', expected 1 finite number");
}

TEST_CASE("resize says which argument is wrong and writes nothing") {
  const Image in = picture(4, 4);
  Image out({2, 2, 1}), wide({2, 4, 3});
  require_error<ArgumentError>([&] { resize(in, out.view()); },
                               "resize: out has shape [2,2,1], expected [*,*,3] to match in");
  require_error<ArgumentError>(
      [&] {
        resize(in, Image({0, 2, 3}).view());
      },
      "resize: out has shape [0,2,3], expected [height,width,channels] of at least 1 each");
  const Pixels thinned(wide.data(), {2, 2, 3}, {12, 6, 1});
  require_error<ArgumentError>([&] { resize(in, thinned); },
                               "resize: out has strides [12,6,1], expected the pixels of a row side by side");
  require_error<ArgumentError>([&] { resize_short(in, 0); }, "resize_short: size is 0, expected at least 1");
  for (Index i = 0; i < wide.size(); ++i) REQUIRE(wide.data()[i] == 0);
}
