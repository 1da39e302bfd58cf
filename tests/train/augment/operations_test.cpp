// Each operation on pixels against Pillow's bytes, and against what is known of it.

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "image/pictures.hpp"
#include "lion/train/augment/affine.hpp"
#include "lion/train/augment/crop.hpp"
#include "lion/train/augment/enhance.hpp"
#include "lion/train/augment/rand_augment.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train::augment;

namespace {

const std::vector<std::uint8_t> kFill{124, 116, 104};
const std::span<const std::uint8_t> kNothing;

/// picture(…)/divisor + offset: a part of the range.
Image dull(Index height, Index width, int divisor = 3, int offset = 40) {
  Image image = picture(height, width);
  for (Index i = 0; i < image.size(); ++i) {
    image.data()[i] = static_cast<std::uint8_t>(image.data()[i] / divisor + offset);
  }
  return image;
}

/// The hash of a picture after f(pixels).
template <class F>
std::uint64_t after(Image image, F&& f) {
  f(image.view());
  return fnv(image);
}

/// The hash of what f(in, out) writes.
template <class F>
std::uint64_t made(const Image& in, F&& f) {
  Image out(in.shape());
  out.fill(111);
  f(ConstPixels(in.view()), out.view());
  return fnv(out);
}

Image row(std::vector<int> values) {
  Image image({1, static_cast<Index>(values.size()), 1});
  for (std::size_t i = 0; i < values.size(); ++i) image.data()[i] = static_cast<std::uint8_t>(values[i]);
  return image;
}
std::vector<int> values(const Image& image) { return {image.data(), image.data() + image.size()}; }

}  // namespace

TEST_CASE("operations give Pillow's bytes") {
  // fnv of what ImageOps, ImageEnhance, Image.rotate and Image.transform of Pillow 13.0 make of the same pictures.
  const auto p = [] { return picture(11, 17); };
  const auto grey = [] { return picture(11, 17, 1); };
  REQUIRE(after(dull(11, 17, 2, 20), auto_contrast) == 0x404111efb7cca5e0);
  REQUIRE(after(grey(), auto_contrast) == 0xdb7d9282100805da);
  REQUIRE(after(p(), equalise) == 0x9e9365ee004c86b1);
  REQUIRE(after(dull(11, 17), equalise) == 0xefac56f43366a30c);
  REQUIRE(after(dull(40, 50), equalise) == 0x8e65da6b34d23d);
  REQUIRE(after(p(), invert) == 0x2812d3b56ce9f1d0);
  REQUIRE(after(p(), [](Pixels x) { posterise(x, 1); }) == 0x4bc9fa43f730499f);
  REQUIRE(after(p(), [](Pixels x) { posterise(x, 4); }) == 0x8f8afea53efc1bf);
  REQUIRE(after(p(), [](Pixels x) { solarise(x, 26); }) == 0xdf1ab7afd2b52d21);
  REQUIRE(after(p(), [](Pixels x) { solarise_add(x, 99); }) == 0x9ac42fed38832665);
  REQUIRE(after(p(), [](Pixels x) { colour(x, 1.81); }) == 0x82a26cae42369ec0);
  REQUIRE(after(p(), [](Pixels x) { colour(x, 0.19); }) == 0x7fe3f9a9bdcf905d);
  REQUIRE(after(p(), [](Pixels x) { contrast(x, 1.81); }) == 0xf1fd14cb12505492);
  REQUIRE(after(p(), [](Pixels x) { contrast(x, 0.19); }) == 0x46ee5b4bae1df14b);
  REQUIRE(after(grey(), [](Pixels x) { contrast(x, 0.4); }) == 0x231b0b915656fe63);
  REQUIRE(after(p(), [](Pixels x) { brightness(x, 1.81); }) == 0x112855ae147bf58a);
  REQUIRE(after(p(), [](Pixels x) { brightness(x, 0.19); }) == 0x243892121e1ceba3);
  REQUIRE(made(p(), [](ConstPixels in, Pixels out) { sharpness(in, 1.81, out); }) == 0xa9b6cff1f93dbe33);
  REQUIRE(made(p(), [](ConstPixels in, Pixels out) { sharpness(in, 0.19, out); }) == 0x5274e6d4394b359d);
  REQUIRE(made(grey(), [](ConstPixels in, Pixels out) { sharpness(in, 0, out); }) == 0xad60561328d042e9);
  REQUIRE(made(picture(2, 9), [](ConstPixels in, Pixels out) { sharpness(in, 0.3, out); }) == 0xbb3ddc9f3080da0a);

  const auto moved = [&](auto&& move, double amount) {
    return made(p(), [&](ConstPixels in, Pixels out) { move(in, amount, kFill, out); });
  };
  REQUIRE(moved(rotate, 27) == 0xb4c34407d5c7e415);
  REQUIRE(moved(rotate, -13.7) == 0x2f305ae8f548854b);
  REQUIRE(moved(shear_x, 0.27) == 0xba06feb955ff9115);
  REQUIRE(moved(shear_y, -0.3) == 0x1bf136d6c5a24a77);
  REQUIRE(moved(translate_x, 0.405 * 17) == 0x6a2f64bc2e47e337);
  REQUIRE(moved(translate_y, -0.2 * 11) == 0x927e40b1e4fbee72);
  const std::vector<std::uint8_t> one{99};
  REQUIRE(made(grey(), [&](ConstPixels in, Pixels out) { rotate(in, 10, one, out); }) == 0xf7f12816eaca4d60);
}

TEST_CASE("tables of values, by hand") {
  Image image = row({0, 1, 127, 128, 254, 255});
  invert(image.view());
  REQUIRE(values(image) == std::vector<int>{255, 254, 128, 127, 1, 0});
  invert(image.view());
  REQUIRE(values(image) == std::vector<int>{0, 1, 127, 128, 254, 255});
  solarise(image.view(), 128);
  REQUIRE(values(image) == std::vector<int>{0, 1, 127, 127, 1, 0});
  solarise_add(image.view(), 200);
  REQUIRE(values(image) == std::vector<int>{200, 201, 255, 255, 201, 200});
  posterise(image.view(), 2);
  REQUIRE(values(image) == std::vector<int>{192, 192, 192, 192, 192, 192});
  posterise(image.view(), 0);
  REQUIRE(values(image) == std::vector<int>(6, 0));

  image = row({7, 7, 7});
  auto_contrast(image.view());
  equalise(image.view());
  REQUIRE(values(image) == std::vector<int>{7, 7, 7});
  image = row({50, 100, 150});
  auto_contrast(image.view());
  REQUIRE(values(image) == std::vector<int>{0, 127, 255});

  // A flat histogram stays, whatever the order of the pixels.
  Image flat({16, 64, 1});
  for (Index i = 0; i < 1024; ++i) flat.data()[i] = static_cast<std::uint8_t>(i * 37);
  const auto before = fnv(flat);
  equalise(flat.view());
  REQUIRE(fnv(flat) == before);
}

TEST_CASE("factor 1 leaves a picture, factor 0 is the poorer one") {
  const Image p = picture(9, 9);
  for (auto enhance : {brightness, contrast, colour}) {
    REQUIRE(after(p.clone(), [&](Pixels x) { enhance(x, 1); }) == fnv(p));
  }
  REQUIRE(made(p, [](ConstPixels in, Pixels out) { sharpness(in, 1, out); }) == fnv(p));
  Image poor = p.clone();
  colour(poor.view(), 0);
  for (Index y = 0; y < 9; ++y) {
    for (Index x = 0; x < 9; ++x) {
      const double grey = 0.299 * p(y, x, 0) + 0.587 * p(y, x, 1) + 0.114 * p(y, x, 2);
      REQUIRE(std::abs(poor(y, x, 0) - grey) <= 0.51);
      REQUIRE(poor(y, x, 0) == poor(y, x, 2));
    }
  }
  contrast(poor.view(), 0);
  for (Index i = 0; i < poor.size(); ++i) REQUIRE(poor.data()[i] == poor.data()[0]);
  brightness(poor.view(), 0);
  REQUIRE(poor.data()[40] == 0);
}

TEST_CASE("moves by nothing, by whole pixels and by quarter turns are exact") {
  const Image p = picture(8, 8);
  for (auto move : {rotate, shear_x, shear_y, translate_x, translate_y}) {
    REQUIRE(made(p, [&](ConstPixels in, Pixels out) { move(in, 0, kFill, out); }) == fnv(p));
  }
  Image out(p.shape());
  translate_x(p, 3, kFill, out.view());
  for (Index y = 0; y < 8; ++y) {
    for (Index x = 0; x < 8; ++x) {
      for (Index c = 0; c < 3; ++c) {
        REQUIRE(out(y, x, c) == (x < 5 ? p(y, x + 3, c) : kFill[static_cast<std::size_t>(c)]));
      }
    }
  }
  translate_y(p, -2, kFill, out.view());
  for (Index y = 0; y < 8; ++y) REQUIRE(out(y, 3, 1) == (y < 2 ? kFill[1] : p(y - 2, 3, 1)));
  rotate(p, 90, kFill, out.view());
  for (Index y = 0; y < 8; ++y) {
    for (Index x = 0; x < 8; ++x) REQUIRE(out(y, x, 0) == p(x, 7 - y, 0));
  }
  rotate(p, 180, kFill, out.view());
  for (Index y = 0; y < 8; ++y) {
    for (Index x = 0; x < 8; ++x) REQUIRE(out(y, x, 2) == p(7 - y, 7 - x, 2));
  }
  translate_x(p, 1e300, kFill, out.view());
  REQUIRE(out(0, 0, 0) == kFill[0]);
}

TEST_CASE("a mirror image of a mirror image") {
  Image p = picture(3, 5);
  flip_horizontally(p.view());
  const Image original = picture(3, 5);
  for (Index x = 0; x < 5; ++x) REQUIRE(p(1, x, 2) == original(1, 4 - x, 2));
  flip_horizontally(p.view());
  REQUIRE(fnv(p) == fnv(original));
}

TEST_CASE("RandAugment's levels mean what timm's increasing set has them mean") {
  const auto applied = [](Operation operation, double level, bool negative) {
    Image image = picture(11, 17);
    apply(operation, level, negative, kFill, image);
    return fnv(image);
  };
  REQUIRE(applied(Operation::posterise, 9, false) == 0x4bc9fa43f730499f);     // 1 bit
  REQUIRE(applied(Operation::posterise, 0, false) == 0x8f8afea53efc1bf);      // 4 bits
  REQUIRE(applied(Operation::solarise, 9, false) == 0xdf1ab7afd2b52d21);      // from 26
  REQUIRE(applied(Operation::solarise_add, 9, false) == 0x9ac42fed38832665);  // 99
  REQUIRE(applied(Operation::colour, 9, false) == 0x82a26cae42369ec0);        // 1.81
  REQUIRE(applied(Operation::contrast, 9, true) == 0x46ee5b4bae1df14b);       // 0.19
  REQUIRE(applied(Operation::brightness, 9, false) == 0x112855ae147bf58a);
  REQUIRE(applied(Operation::sharpness, 9, true) == 0x5274e6d4394b359d);
  REQUIRE(applied(Operation::rotate, 9, false) == 0xb4c34407d5c7e415);       // 27 degrees
  REQUIRE(applied(Operation::shear_x, 9, false) == 0xba06feb955ff9115);      // 0.27
  REQUIRE(applied(Operation::shear_y, 10, true) == 0x1bf136d6c5a24a77);      // -0.3
  REQUIRE(applied(Operation::translate_x, 9, false) == 0x6a2f64bc2e47e337);  // 0.405 of the width
  REQUIRE(applied(Operation::equalise, 0, false) == 0x9e9365ee004c86b1);
  REQUIRE(applied(Operation::invert, 0, true) == 0x2812d3b56ce9f1d0);
}

TEST_CASE("operations say which argument is wrong") {
  Image p = picture(4, 4), two({4, 4, 2}), out({4, 5, 3});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  require_error<ArgumentError>([&] { posterise(p.view(), 9); }, "posterise: bits is 9, expected a value in [0, 8]");
  require_error<ArgumentError>([&] { solarise(p.view(), -1); },
                               "solarise: threshold is -1, expected a value in [0, 256]");
  require_error<ArgumentError>([&] { solarise_add(p.view(), 256); },
                               "solarise_add: amount is 256, expected a value in [0, 255]");
  require_error<ArgumentError>([&] { colour(two.view(), 1); }, "colour: pixels have 2 channels, expected 1 or 3");
  require_error<ArgumentError>([&] { contrast(p.view(), nan); }, "contrast: factor is nan, expected a finite value");
  require_error<ArgumentError>([&] { sharpness(p, 1, out.view()); },
                               "sharpness: out has shape [4,5,3], expected [4,4,3] to match in");
  require_error<ArgumentError>([&] { rotate(p, 10, kNothing, p.view()); },
                               "affine: fill has shape [0], expected [3] to match the channels of in");
  require_error<ArgumentError>([&] { rotate(p, nan, kFill, p.view()); },
                               "affine: the map has a value that is not finite");
  REQUIRE(fnv(p) == fnv(picture(4, 4)));
}
