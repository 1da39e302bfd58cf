#include "lion/train/background.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "image/pictures.hpp"
#include "io/files.hpp"
#include "lion/image/folder.hpp"
#include "lion/image/image_set.hpp"
#include "lion/train/augment/recipe.hpp"
#include "lion/train/batches.hpp"
#include "lion/train/image_batches.hpp"
#include "lion/train/repeated_batches.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train;

namespace {

using Numbers = Background<std::vector<Index>>;

/// The squares of step, as many as step mod 5.
void squares(Index step, std::vector<Index>& batch, const std::stop_token&) {
  batch.assign(static_cast<std::size_t>(step % 5), step * step);
}

image::ImageSet small_set(Index n) {
  image::ImageSet set{Tensor<std::uint8_t, 4>({n, 8, 8, 3}), {}, 4};
  for (Index i = 0; i < set.pixels.size(); ++i) set.pixels.data()[i] = static_cast<std::uint8_t>(i * i / 7);
  for (Index i = 0; i < n; ++i) set.labels.push_back(i % 4);
  return set;
}

/// Everything in the first batches of a run on this many threads, its steps in this order.
std::vector<float> contents(Index threads, Index ahead, Index first, Index end) {
  const image::ImageSet set = small_set(40);
  ImageBatchesOptions options{.height = 8, .width = 8, .classes = 4, .mixup = augment::MixupOptions{}, .seed = 9};
  RepeatedBatches rows(40, 6, 9, {.round = 1});
  ImageBatches batches(set, rows, augment::Recipe(augment::RecipeOptions::deit_small_images()), options);
  Background<ImageBatch> background(std::ref(batches), {threads, ahead, first, end});
  std::vector<float> all;
  while (const ImageBatch* batch = background.next()) {
    all.insert(all.end(), batch->images.data(), batch->images.data() + batch->images.size());
    all.insert(all.end(), batch->targets.data(), batch->targets.data() + batch->targets.size());
    for (Index label : batch->labels) all.push_back(static_cast<float>(label));
  }
  return all;
}

}  // namespace

TEST_CASE("batches come in the order of their steps, whoever makes them") {
  for (const Index threads : {0, 1, 4}) {
    for (const Index ahead : {0, 1, 3, 50}) {
      Numbers background(squares, {threads, ahead, 7, 60});
      for (Index step = 7; step < 60; ++step) {
        const auto* batch = background.next();
        REQUIRE(batch);
        REQUIRE(*batch == std::vector<Index>(static_cast<std::size_t>(step % 5), step * step));
      }
      REQUIRE(background.next() == nullptr);
      REQUIRE(background.next() == nullptr);
    }
  }
  Numbers none(squares, {2, 2, 5, 5});
  REQUIRE(none.next() == nullptr);
}

TEST_CASE("no more batches are made ahead than asked for, and they are made without being asked for") {
  std::atomic<Index> made{0};
  Numbers background([&](Index, std::vector<Index>&, const std::stop_token&) { ++made; }, {3, 4});
  const auto wait_for = [&](Index count) {
    while (made < count) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    REQUIRE(made == count);
  };
  wait_for(4);
  background.next();
  wait_for(5);
  background.next();
  background.next();
  wait_for(7);
}

TEST_CASE("threads that the caller lends work too, and return") {
  std::atomic<int> elsewhere{0};
  const auto own = std::this_thread::get_id();
  Numbers background(
      [&](Index step, std::vector<Index>& batch, const std::stop_token& stop) {
        elsewhere += std::this_thread::get_id() != own;
        squares(step, batch, stop);
      },
      {0, 3});
  std::vector<std::thread> lent;
  for (int t = 0; t < 2; ++t) lent.emplace_back([&] { background.serve(); });
  while (elsewhere < 3) std::this_thread::yield();
  for (Index step = 0; step < 30; ++step) REQUIRE(background.next()->size() == static_cast<std::size_t>(step % 5));
  background.close();
  for (std::thread& thread : lent) thread.join();
  REQUIRE(background.next() == nullptr);

  Numbers finite(squares, {0, 2, 0, 6});
  std::thread until_the_end([&] { finite.serve(); });
  for (int i = 0; i < 6; ++i) REQUIRE(finite.next());
  until_the_end.join();
}

TEST_CASE("an exception arrives at its step, and the steps after it go on") {
  for (const Index threads : {0, 3}) {
    Numbers background(
        [](Index step, std::vector<Index>& batch, const std::stop_token& stop) {
          if (step % 3 == 1) throw std::runtime_error("step " + std::to_string(step));
          squares(step, batch, stop);
        },
        {threads, 5});
    for (Index step = 0; step < 20; ++step) {
      if (step % 3 == 1) {
        require_error<std::runtime_error>([&] { background.next(); }, "step " + std::to_string(step));
      } else {
        REQUIRE(background.next()->size() == static_cast<std::size_t>(step % 5));
      }
    }
  }
}

TEST_CASE("it ends in the middle, making as little as it can") {
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<int> stopped{0}, begun{0};
    {
      Numbers background(
          [&](Index step, std::vector<Index>&, const std::stop_token& stop) {
            ++begun;
            if (step < 2) return;
            while (!stop.stop_requested()) std::this_thread::yield();  // for ever, unless asked
            ++stopped;
          },
          {3, 8});
      REQUIRE(background.next());
      if (repeat % 2) {
        while (begun < 5) std::this_thread::yield();
      }
    }
    REQUIRE(stopped == begun - (std::min)(2, begun.load()));
  }
}

TEST_CASE("Background says which argument is wrong") {
  const auto make = [](BackgroundOptions options) { return [options] { Numbers(squares, options); }; };
  require_error<ArgumentError>(make({.threads = -1}), "Background: threads is -1, expected at least 0");
  require_error<ArgumentError>(make({.ahead = -1}), "Background: ahead is -1, expected a value in [0, 1048576)");
  require_error<ArgumentError>(make({.first = 3, .end = 2}), "Background: end is 2, expected at least first 3");
}

TEST_CASE("batches of images are the same bits for any number of threads, and where a run is taken up again") {
  const std::vector<float> expected = contents(0, 0, 0, 14);
  REQUIRE(expected.size() == 14 * (6 * 3 * 64 + 6 * 4 + 6));
  REQUIRE(contents(1, 2, 0, 14) == expected);
  REQUIRE(contents(3, 5, 0, 14) == expected);
  const std::vector<float> rest = contents(2, 3, 9, 14);
  REQUIRE(std::equal(rest.begin(), rest.end(), expected.end() - static_cast<std::ptrdiff_t>(rest.size())));
  // Two versions of one image, and one image in two passes, are different.
  const auto first = expected.begin();
  REQUIRE(!std::equal(first, first + 3 * 64, first + 3 * 64));
}

TEST_CASE("no epoch's order and no image's draws come from the same random numbers, where they have one seed") {
  constexpr std::uint64_t seed = 9;
  const image::ImageSet set = small_set(2);
  std::vector<std::uint64_t> drawn;
  const auto transform = [&](const image::ConstPixels&, const View<float, 3>& out, Random& random) {
    std::fill(out.data(), out.data() + out.size(), 0.0f);
    drawn.push_back(random.bits());
  };
  const augment::MixupOptions mixup{.cutmix_alpha = 0, .label_smoothing = 0};
  ImageBatches batches(set, SequentialBatches(2, 2), transform,
                       {.height = 8, .width = 8, .classes = 4, .mixup = mixup, .seed = seed});
  ImageBatch batch;
  batches(0, batch);
  REQUIRE(drawn.size() == 2);
  REQUIRE(drawn[0] != drawn[1]);
  for (std::uint64_t epoch = 0; epoch < 1000; ++epoch) {
    INFO("epoch " << epoch);
    const std::uint64_t shared = Random(seed, epoch).bits();  // the first number of the epoch's order, as a seed
    for (std::uint64_t b = 0; b < 2; ++b) REQUIRE(drawn[b] != Random(shared, b).bits());
    Random mixing(shared);
    REQUIRE(batch.targets(0, 0) != static_cast<float>(augment::Mixup(mixup).draw(8, 8, mixing).lambda));
  }
  STATIC_REQUIRE(kOtherStreams > static_cast<std::uint64_t>(std::numeric_limits<Index>::max()));  // so of any epoch
}

TEST_CASE("evaluation sees every image once, in order, the last batch smaller") {
  const image::ImageSet set = small_set(10);
  const SequentialBatches rows(10, 4);
  REQUIRE(rows.count() == 3);
  const image::Preprocessing preprocess{image::Normalisation::imagenet(3), 1};
  ImageBatches batches(set, rows, preprocess, {.height = 8, .width = 8});
  Background<ImageBatch> background(std::ref(batches), {.threads = 2, .end = rows.count()});
  Index seen = 0;
  while (const ImageBatch* batch = background.next()) {
    for (Index b = 0; b < batch->images.extent(0); ++b, ++seen) {
      Tensor<float, 3> expected({3, 8, 8});
      preprocess(set.image(seen), expected.view());
      REQUIRE(std::equal(expected.data(), expected.data() + expected.size(), batch->images.view().at(b)));
      REQUIRE(batch->labels[static_cast<std::size_t>(b)] == set.label(seen));
    }
    REQUIRE(batch->targets.size() == 0);
  }
  REQUIRE(seen == 10);
  require_error<ArgumentError>([] { SequentialBatches(0, 4); },
                               "SequentialBatches: samples is 0 and batch is 4, expected at least 1 each");
}

TEST_CASE("a file that cannot be decoded is named to the caller, and the batches after it come") {
  const Folder root;
  std::filesystem::create_directory(root / "a");
  for (const char* name : {"a/0.ppm", "a/1.ppm", "a/2.ppm", "a/3.ppm"}) write_file(root / name, "P6 1 1 255\nabc");
  write_file(root / "a/2.ppm", "P6 1 1 255\nab");
  const image::ImageFolder data(root.path());
  const image::Preprocessing preprocess{image::Normalisation::imagenet(3), 1};
  ImageBatches batches(data, SequentialBatches(4, 1), preprocess, {.height = 2, .width = 2});
  Background<ImageBatch> background(std::ref(batches), {.threads = 3, .end = 4});
  REQUIRE(background.next());
  REQUIRE(background.next());
  require_error<FileError>([&] { background.next(); },
                           "image: " + (root / "a/2.ppm").string() + " is cut short: 2 bytes of pixels, expected 3");
  REQUIRE(background.next());
  REQUIRE(background.next() == nullptr);

  const auto wrong = [&](ImageBatchesOptions options) {
    return [&, options] { ImageBatches(data, SequentialBatches(4, 1), preprocess, options); };
  };
  require_error<ArgumentError>(wrong({.height = 0}), "ImageBatches: height is 0, expected at least 1");
  require_error<ArgumentError>(wrong({.mixup = augment::MixupOptions{}}),
                               "ImageBatches: classes is 0, expected at least 1");
  ImageBatches beyond(data, SequentialBatches(5, 5), preprocess, {.height = 2, .width = 2});
  ImageBatch batch;
  write_file(root / "a/2.ppm", "P6 1 1 255\nabc");
  require_error<ArgumentError>([&] { beyond(0, batch); }, "ImageBatches: rows has 4, expected values in [0, 4)");
}
