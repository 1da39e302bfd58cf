// What is drawn: bounds, frequencies, and that the same draws give the same.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "image/pictures.hpp"
#include "lion/train/augment/mixup.hpp"
#include "lion/train/augment/recipe.hpp"
#include "lion/train/repeated_batches.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train;
using namespace lion::train::augment;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Tensor<float, 4> numbered(const Shape<4>& shape) {
  Tensor<float, 4> images(shape);
  for (Index i = 0; i < images.size(); ++i) images.data()[i] = static_cast<float>(i % 97) + 1;
  return images;
}

}  // namespace

TEST_CASE("random resized crops have the area and ratio asked for, and fall back to the middle") {
  const RandomResizedCrop crop;
  Random random(1);
  double area = 0, log_ratio = 0;
  constexpr int n = 4000;
  for (int i = 0; i < n; ++i) {
    const Window w = crop.draw(400, 400, random);
    REQUIRE((w.top >= 0 && w.left >= 0 && w.top + w.height <= 400 && w.left + w.width <= 400));
    const double share = static_cast<double>(w.height * w.width) / 160000;
    const double ratio = static_cast<double>(w.width) / static_cast<double>(w.height);
    REQUIRE((share > 0.079 && share <= 1));
    REQUIRE((ratio > 0.74 && ratio < 1.35));
    area += share;
    log_ratio += std::log(ratio);
  }
  // Areas near 1 fit only if the ratio is near 1, so the mean lies below that of a uniform one, 0.54.
  REQUIRE(area / n < 0.54);
  REQUIRE(area / n > 0.48);
  REQUIRE(std::abs(log_ratio / n) < 0.01);

  // Too long for any window of these ratios: the middle, 4/3 as wide as high or 4/3 as high as wide.
  const RandomResizedCrop whole({.scale = {1, 1}});
  const Window wide = whole.draw(30, 1000, random), high = whole.draw(1000, 30, random);
  REQUIRE((wide.height == 30 && wide.width == 40 && wide.top == 0 && wide.left == 480));
  REQUIRE((high.height == 40 && high.width == 30 && high.top == 480 && high.left == 0));
  const Window one = crop.draw(1, 1, random);
  REQUIRE((one.height == 1 && one.width == 1));

  require_error<ArgumentError>(
      [] {
        RandomResizedCrop({.scale = {0, 1}});
      },
      "RandomResizedCrop: scale is [0.000000, 1.000000], expected 0 < low <= high <= 1");
  require_error<ArgumentError>(
      [] {
        RandomResizedCrop({.scale = {0.1, 1}, .ratio = {2, 1}});
      },
      "RandomResizedCrop: ratio is [2.000000, 1.000000], expected finite 0 < low <= high");
}

TEST_CASE("random crops of a framed picture reach every place equally often") {
  const Image in = picture(4, 4);
  Image out({4, 4, 3});
  Random random(2);
  std::map<std::uint64_t, int> seen;
  for (int i = 0; i < 9000; ++i) {
    random_crop(in, 1, out.view(), random);
    ++seen[fnv(out)];
  }
  REQUIRE(seen.size() == 9);
  REQUIRE(seen.contains(fnv(in)));
  for (const auto& [hash, count] : seen) REQUIRE(std::abs(count - 1000) < 130);
  random_crop(image::crop(ConstPixels(in), 1, 1, 1, 1), 2, out.view(), random);
  REQUIRE(std::count(out.data(), out.data() + out.size(), 0) >= out.size() - 3);
  Image large({7, 4, 3});
  require_error<ArgumentError>([&] { random_crop(in, 1, large.view(), random); },
                               "random_crop: out has shape [7,4,3], expected at most [4,4,3] and twice the padding 1");
}

TEST_CASE("RandAugment leaves a picture as often as its operations are not carried out") {
  const RandAugment augment;
  const auto original = fnv(picture(12, 12));
  std::set<std::uint64_t> seen;
  int same = 0;
  constexpr int n = 2000;
  for (int i = 0; i < n; ++i) {
    Image image = picture(12, 12), again = picture(12, 12);
    Random random(3, static_cast<std::uint64_t>(i)), twin(3, static_cast<std::uint64_t>(i));
    augment(image, random);
    augment(again, twin);
    REQUIRE(fnv(image) == fnv(again));
    same += fnv(image) == original;
    seen.insert(fnv(image));
  }
  // Two of two are skipped in a quarter; of those carried out some (auto-contrast, equalise, …) change nothing here.
  REQUIRE(same > n / 4 - 80);
  REQUIRE(same < n / 2);
  REQUIRE(seen.size() > n / 3);

  Image grey = picture(4, 4, 1);
  Random random(0);
  require_error<ArgumentError>([&] { augment(grey, random); },
                               "RandAugment: fill has shape [3], expected [1] to match the channels");
  require_error<ArgumentError>([] { RandAugment({.magnitude = 11}); },
                               "RandAugment: magnitude is 11.000000, expected a value in [0, 10]");
  require_error<ArgumentError>([] { RandAugment({.probability = -1}); },
                               "RandAugment: probability is -1.000000, expected a value in [0, 1]");
}

TEST_CASE("random erasing erases one rectangle of the size asked for with normal noise") {
  const RandomErasing erasing;
  Random random(4);
  int erased = 0;
  double sum = 0, squares = 0, count = 0;
  constexpr int n = 1000;
  for (int i = 0; i < n; ++i) {
    Tensor<float, 3> picture({2, 40, 50});
    picture.fill(kNan);
    erasing(picture.view(), random);
    Index top = 40, bottom = -1, left = 50, right = -1, changed = 0;
    for (Index y = 0; y < 40; ++y) {
      for (Index x = 0; x < 50; ++x) {
        if (std::isnan(picture(0, y, x))) {
          REQUIRE(std::isnan(picture(1, y, x)));
          continue;
        }
        ++changed;
        top = (std::min)(top, y), bottom = (std::max)(bottom, y);
        left = (std::min)(left, x), right = (std::max)(right, x);
        for (Index c = 0; c < 2; ++c) {
          const double value = picture(c, y, x);
          sum += value, squares += value * value, ++count;
        }
      }
    }
    if (changed == 0) continue;
    ++erased;
    REQUIRE(changed == (bottom - top + 1) * (right - left + 1));
    const double share = static_cast<double>(changed) / 2000;
    REQUIRE((share > 0.017 && share < 0.345));
    REQUIRE((bottom - top < 39 && right - left < 49));
  }
  REQUIRE(std::abs(erased - n / 4) < 60);
  REQUIRE(std::abs(sum / count) < 0.02);
  REQUIRE(std::abs(squares / count - 1) < 0.03);
  require_error<ArgumentError>([] { RandomErasing({.probability = 2}); },
                               "RandomErasing: probability is 2.000000, expected a value in [0, 1]");
  require_error<ArgumentError>([] { RandomErasing({.ratio = 0}); },
                               "RandomErasing: ratio is 0.000000, expected a value in (0, 1]");
}

TEST_CASE("symmetric Beta has the variance 1/(8 alpha + 4) about a half") {
  Random random(5);
  for (double alpha : {0.2, 0.8, 1.0, 4.0}) {
    double sum = 0, squares = 0;
    constexpr int n = 20000;
    for (int i = 0; i < n; ++i) {
      const double x = symmetric_beta(alpha, random) - 0.5;
      REQUIRE(std::abs(x) <= 0.5);
      sum += x, squares += x * x;
    }
    INFO(alpha);
    REQUIRE(std::abs(sum / n) < 0.015);
    REQUIRE(squares / n == Approx(1 / (8 * alpha + 4)).epsilon(0.05));
  }
}

TEST_CASE("symmetric Beta of a tiny alpha is a coin, of a huge one a half") {
  Random random(8);
  for (double alpha : {1e-4, 1e-300, std::numeric_limits<double>::denorm_min()}) {
    INFO(alpha);
    constexpr int n = 4000;
    int ones = 0, between = 0;
    for (int i = 0; i < n; ++i) {
      const double x = symmetric_beta(alpha, random);
      REQUIRE((x >= 0 && x <= 1));
      ones += x > 0.5;
      between += x > 1e-3 && x < 1 - 1e-3;
    }
    REQUIRE(std::abs(ones - n / 2) < 160);  // five standard deviations
    REQUIRE(between <= 20);                 // of 1e-4 there are 1e-4·log(1e3)·n ≈ 3
  }
  for (double alpha : {1e12, std::numeric_limits<double>::max()}) {
    REQUIRE(symmetric_beta(alpha, random) == Approx(0.5).margin(1e-4));
  }
}

TEST_CASE("mixup is the weighted sum with the reversed batch, in images and targets") {
  const std::vector<Index> labels{2, 0, 1, 2};
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Mixup mixup({.label_smoothing = 0.1});
    Tensor<float, 4> images = numbered({4, 2, 6, 8});
    const Tensor<float, 4> before = images.clone();
    Tensor<float, 2> targets({4, 3});
    targets.fill(kNan);
    Random random(seed), twin(seed);
    mixup(images.view(), labels, targets.view(), random);
    const Mixture m = mixup.draw(6, 8, twin);
    REQUIRE((m.lambda >= 0 && m.lambda <= 1));
    Index others = 0;
    for (Index b = 0; b < 4; ++b) {
      for (Index c = 0; c < 2; ++c) {
        for (Index y = 0; y < 6; ++y) {
          for (Index x = 0; x < 8; ++x) {
            const double own = before(b, c, y, x), other = before(3 - b, c, y, x);
            const bool inside = y >= m.top && y < m.bottom && x >= m.left && x < m.right;
            others += m.cut && inside;
            const double expected = !m.cut ? m.lambda * own + (1 - m.lambda) * other : inside ? other : own;
            REQUIRE(std::abs(images(b, c, y, x) - expected) < 1e-4);
          }
        }
      }
      for (Index k = 0; k < 3; ++k) {
        const double own = k == labels[static_cast<std::size_t>(b)],
                     other = k == labels[static_cast<std::size_t>(3 - b)];
        const double expected = 0.9 * (m.lambda * own + (1 - m.lambda) * other) + 0.1 / 3;
        REQUIRE(std::abs(targets(b, k) - expected) < 1e-6);
      }
    }
    if (m.cut) REQUIRE(m.lambda == Approx(1 - static_cast<double>(others) / (4 * 2 * 6 * 8)));
  }
}

TEST_CASE("mixup and CutMix take turns, and either alone is always itself") {
  Random random(6);
  int cuts = 0;
  double lambda = 0;
  constexpr int n = 4000;
  for (int i = 0; i < n; ++i) {
    const Mixture m = Mixup().draw(224, 224, random);
    cuts += m.cut;
    lambda += m.cut ? 0 : m.lambda;
    REQUIRE(!Mixup({.cutmix_alpha = 0}).draw(8, 8, random).cut);
    REQUIRE(Mixup({.mixup_alpha = 0}).draw(8, 8, random).cut);
  }
  REQUIRE(std::abs(cuts - n / 2) < 150);
  REQUIRE(lambda / (n - cuts) == Approx(0.5).margin(0.03));
  REQUIRE(Mixup({.mixup_alpha = 0, .cutmix_alpha = 0}).draw(8, 8, random).lambda == 1);
  REQUIRE(Mixup({.probability = 0}).draw(8, 8, random).lambda == 1);

  // The middle sample of an odd batch is its own partner.
  Tensor<float, 4> images = numbered({3, 1, 2, 2});
  const Tensor<float, 4> before = images.clone();
  Tensor<float, 2> targets({3, 2});
  const std::vector<Index> labels{0, 1, 0};
  Mixup({.cutmix_alpha = 0, .label_smoothing = 0})(images.view(), labels, targets.view(), random);
  for (Index i = 4; i < 8; ++i) REQUIRE(images.data()[i] == before.data()[i]);
  REQUIRE(targets(1, 1) == 1);

  const std::vector<Index> wrong{0, 2, 0};
  require_error<ArgumentError>([&] { Mixup()(images.view(), wrong, targets.view(), random); },
                               "Mixup: labels[1] is 2, expected a value in [0, 2)");
  require_error<ArgumentError>([] { Mixup({.switch_probability = 1.5}); },
                               "Mixup: switch_probability is 1.500000, expected a value in [0, 1]");
  require_error<ArgumentError>([] { Mixup({.mixup_alpha = -1}); },
                               "Mixup: mixup_alpha is -1.000000, expected a finite value of at least 0");
}

TEST_CASE("the recipe writes every value, the same for the same draws") {
  const Image in = picture(37, 50);
  const auto made = [&](const RecipeOptions& options, std::uint64_t stream) {
    Tensor<float, 3> out({3, 24, 24});
    out.fill(kNan);
    Random random(7, stream);
    const Recipe recipe(options);
    recipe(in, out.view(), random);
    const std::vector<float> values(out.data(), out.data() + out.size());
    for (float value : values) REQUIRE(std::isfinite(value));
    return values;
  };
  REQUIRE(made(RecipeOptions::deit(), 0) == made(RecipeOptions::deit(), 0));
  REQUIRE(made(RecipeOptions::deit(), 0) != made(RecipeOptions::deit(), 1));
  REQUIRE(made(RecipeOptions::deit_small_images(), 2) != made(RecipeOptions::deit_small_images(), 3));

  // With nothing random left it is resizing and normalising; mirrored with flip 1.
  RecipeOptions plain{.resized_crop = RandomResizedCropOptions{{1, 1}, {50.0 / 37, 50.0 / 37}}, .flip = 0};
  plain.rand_augment.reset();
  plain.erasing.reset();
  Image resized({24, 24, 3});
  image::resize(in, resized.view());
  Tensor<float, 3> expected({3, 24, 24});
  image::normalise(resized, image::Normalisation::imagenet(3), expected.view());
  REQUIRE(made(plain, 0) == std::vector<float>(expected.data(), expected.data() + expected.size()));
  plain.flip = 1;
  const auto mirrored = made(plain, 0);
  REQUIRE(mirrored[0] == expected(0, 0, 23));
  REQUIRE(mirrored[24 * 24 * 3 - 1] == expected(2, 23, 0));

  require_error<ArgumentError>([] { Recipe({.flip = 2}); }, "Recipe: flip is 2.000000, expected a value in [0, 1]");
}

TEST_CASE("repeated batches show each image of a pass as often as asked, dealt out to the processes") {
  // RASampler by its definition: shuffle, repeat, deal, take the first of each share.
  for (const auto& [repeats, processes, samples] :
       {std::array<Index, 3>{3, 1, 530}, {3, 4, 530}, {2, 3, 517}, {1, 1, 300}}) {
    std::vector<Index> order(static_cast<std::size_t>(samples)), listed;
    std::iota(order.begin(), order.end(), Index(0));
    Random(11, 1).shuffle(std::span<Index>(order));
    for (Index image : order) listed.insert(listed.end(), static_cast<std::size_t>(repeats), image);
    for (Index rank = 0; rank < processes; ++rank) {
      RepeatedBatches batches(samples, 16, 11, {.repeats = repeats, .processes = processes, .rank = rank});
      const Index share = samples / 256 * 256 / processes;
      REQUIRE(batches.per_epoch() == share / 16);
      for (Index step = batches.per_epoch(); step < 2 * batches.per_epoch(); ++step) {
        const auto rows = batches.rows(step);
        REQUIRE(rows.size() == 16);
        for (Index i = 0; i < 16; ++i) {
          const Index place = rank + ((step - batches.per_epoch()) * 16 + i) * processes;
          REQUIRE(rows[static_cast<std::size_t>(i)] == listed[static_cast<std::size_t>(place)]);
        }
      }
    }
  }
  require_error<ArgumentError>(
      [] { RepeatedBatches(255, 1, 0); },
      "RepeatedBatches: batch is 1, expected a value in [1, 0], the samples of a pass for one process");
  require_error<ArgumentError>([] { RepeatedBatches(512, 1, 0, {.processes = 2, .rank = 2}); },
                               "RepeatedBatches: rank is 2, expected a value in [0, 2)");
}
