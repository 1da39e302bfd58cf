#pragma once
/// The batches of a data set of images, each a function of the seed and its step.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "lion/image/image.hpp"
#include "lion/nn/random.hpp"
#include "lion/train/augment/mixup.hpp"
#include "lion/train/random.hpp"

namespace lion::train {

/// A data set of images: how many, the class of each, and each as something that is a view or owns one, for any number
/// of threads at once. image::ImageFolder and image::ImageSet are.
template <class D>
concept ImageData = requires(const D& data, Index i) {
  { data.size() } -> std::convertible_to<Index>;
  { data.label(i) } -> std::convertible_to<Index>;
  { data.image(i) } -> std::convertible_to<image::ConstPixels>;
};

/// One step's images as a model takes them.
struct ImageBatch {
  Tensor<float, 4> images;    ///< [B,channels,height,width]
  std::vector<Index> labels;  ///< [B]
  Tensor<float, 2> targets;   ///< [B,classes] where Mixup is on, else empty
};

struct ImageBatchesOptions {
  Index height = 224, width = 224, channels = 3;    ///< of the images in a batch
  Index classes = 0;                                ///< of the targets, ≥ 1 where Mixup is on
  std::optional<augment::MixupOptions> mixup = {};  ///< absent: no targets, labels alone
  std::uint64_t seed = 0;
};

/// Makes the batch of a step: rows(step) of the data through `transform`, then Mixup. Every sample has random draws of
/// its own, by its place in the run, so that a batch is the same on any thread, in any order, and when a run is taken
/// up again. The data must outlive it.
///
/// Rows has `rows(step)`, a range of indices of the data (Batches, RepeatedBatches); calls take turns. Transform is
/// called as transform(image::ConstPixels, View<float,3> out [channels,height,width], Random&), by any number of
/// threads (augment::Recipe), or without the last (image::Preprocessing).
template <ImageData Data, class Rows, class Transform>
class ImageBatches {
 public:
  ImageBatches(const Data& data, Rows rows, Transform transform, const ImageBatchesOptions& options)
      : data_(&data), rows_(std::move(rows)), transform_(std::move(transform)), options_(options) {
    const auto require = [](const char* name, Index value) {
      if (value >= 1) return;
      throw ArgumentError(std::string("ImageBatches: ") + name + " is " + std::to_string(value) +
                          ", expected at least 1");
    };
    require("height", options.height);
    require("width", options.width);
    require("channels", options.channels);
    if (!options.mixup) return;
    require("classes", options.classes);
    mixup_.emplace(*options.mixup);
  }

  /// Fills the batch, whose memory is reused where it fits. Called by any number of threads at once; leaves the batch
  /// unfinished if it is asked to stop.
  void operator()(Index step, ImageBatch& batch, const std::stop_token& stop = {}) {
    std::vector<Index> rows;
    {
      const std::lock_guard turn(turn_);
      const auto& of_step = rows_.rows(step);
      rows.assign(of_step.begin(), of_step.end());
    }
    const auto count = static_cast<Index>(rows.size());
    const Shape<4> shape{count, options_.channels, options_.height, options_.width};
    if (batch.images.size() == 0 || batch.images.shape() != shape) batch.images = Tensor<float, 4>(shape);
    batch.labels.resize(rows.size());
    const auto placed = [&](std::uint64_t use) {
      return nn::PlacedRandom(options_.seed, use).bits(static_cast<std::uint64_t>(step));
    };
    for (Index b = 0; b < count; ++b) {
      if (stop.stop_requested()) return;
      const Index row = rows[static_cast<std::size_t>(b)];
      if (row < 0 || row >= data_->size()) {
        throw ArgumentError("ImageBatches: rows has " + std::to_string(row) + ", expected values in [0, " +
                            std::to_string(data_->size()) + ")");
      }
      batch.labels[static_cast<std::size_t>(b)] = data_->label(row);
      const auto& held = data_->image(row);  // a view, or an image that lives as long as this reference
      const image::ConstPixels pixels = held;
      const View<float, 3> out(batch.images.view().at(b), {shape[1], shape[2], shape[3]});
      if constexpr (std::invocable<const Transform&, image::ConstPixels, View<float, 3>, Random&>) {
        Random random(placed(kSample), static_cast<std::uint64_t>(b));
        transform_(pixels, out, random);
      } else {
        transform_(pixels, out);
      }
    }
    if (!mixup_) return;
    const Shape<2> target_shape{count, options_.classes};
    if (batch.targets.size() == 0 || batch.targets.shape() != target_shape) {
      batch.targets = Tensor<float, 2>(target_shape);
    }
    Random random(placed(kMixup));
    (*mixup_)(batch.images.view(), batch.labels, batch.targets.view(), random);
  }

 private:
  // Streams of the seed, apart from those of Batches and RepeatedBatches, which may have the same one.
  static constexpr std::uint64_t kSample = kOtherStreams, kMixup = kOtherStreams + 1;

  const Data* data_;
  std::mutex turn_;
  Rows rows_;
  const Transform transform_;
  ImageBatchesOptions options_;
  std::optional<augment::Mixup> mixup_;
};

/// All rows of a data set once, in their order, the last batch perhaps smaller: for evaluation.
class SequentialBatches {
 public:
  /// samples ≥ 1, batch ≥ 1.
  SequentialBatches(Index samples, Index batch) : samples_(samples), batch_(batch) {
    if (samples >= 1 && batch >= 1) return;
    throw ArgumentError("SequentialBatches: samples is " + std::to_string(samples) + " and batch is " +
                        std::to_string(batch) + ", expected at least 1 each");
  }

  /// How many there are.
  Index count() const { return (samples_ - 1) / batch_ + 1; }

  /// The rows of step t; none from step `count()` on.
  std::vector<Index> rows(Index step) const {
    std::vector<Index> rows;
    for (Index i = step * batch_; i < (std::min)(samples_, (step + 1) * batch_); ++i) rows.push_back(i);
    return rows;
  }

 private:
  Index samples_, batch_;
};

}  // namespace lion::train
