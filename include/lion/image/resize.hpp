#pragma once
/// Bicubic resizing of bytes, to the last bit as Pillow's Image.resize(…, BICUBIC) does it: the kernel of
/// nn/resample.hpp in fixed point of 22 bits, columns first, rounded to bytes in between. (Late Pillow takes rows first
/// where the width grows and the height shrinks.)

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lion/image/image.hpp"
#include "lion/nn/resample.hpp"

namespace lion::image {

namespace detail {
inline constexpr int kFixedBits = 22;

/// The taps of one axis: out_i = Σ_j weight(i)[j] · in_{first(i)+j} / 2^22.
class FixedAxis {
 public:
  FixedAxis(Index from, Index to) : first_(size(to)), count_(size(to)), weight_(size(to)) {
    Arena counting;
    nn::AxisResampling<double>(from, to, counting);
    Workspace workspace;
    workspace.reserve(counting.used() + kAlignment);
    Arena arena = workspace.arena();
    const nn::AxisResampling<double> axis(from, to, arena);
    for (Index i = 0; i < to; ++i) {
      first_[size(i)] = axis.first(i);
      count_[size(i)] = axis.count(i);
      for (Index j = 0; j < axis.count(i); ++j) {
        const double scaled = axis.weight(i, j) * (1 << kFixedBits);
        weight_[size(i)].push_back(static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
      }
    }
  }

  Index first(Index i) const { return first_[size(i)]; }
  Index count(Index i) const { return count_[size(i)]; }
  const std::int32_t* weight(Index i) const { return weight_[size(i)].data(); }

  static std::uint8_t to_byte(std::int64_t sum) {
    return static_cast<std::uint8_t>(
        (std::clamp)((sum + (1 << (kFixedBits - 1))) >> kFixedBits, std::int64_t{0}, std::int64_t{255}));
  }

 private:
  static std::size_t size(Index i) { return static_cast<std::size_t>(i); }
  std::vector<Index> first_, count_;
  std::vector<std::vector<std::int32_t>> weight_;
};
}  // namespace detail

/// out [h,w,channels] is in [H,W,channels] resized; antialiased where it shrinks. They must not overlap.
inline void resize(const ConstPixels& in, const Pixels& out) {
  require_pixels("resize", "in", in);
  require_pixels("resize", "out", out);
  require_shape<3>("resize", "out", out.shape(), {-1, -1, in.extent(2)}, " to match in");
  const Index rows = in.extent(0), width = out.extent(1), channels = in.extent(2), line = width * channels;
  const detail::FixedAxis across(in.extent(1), width), down(rows, out.extent(0));
  std::vector<std::uint8_t> between(static_cast<std::size_t>(rows * line));  // [H,w,channels]
  for (Index y = 0; y < rows; ++y) {
    std::uint8_t* to = between.data() + y * line;
    for (Index x = 0; x < width; ++x) {
      const std::uint8_t* from = in.at(y, across.first(x));
      const std::int32_t* weight = across.weight(x);
      for (Index c = 0; c < channels; ++c) {
        std::int64_t sum = 0;
        for (Index j = 0; j < across.count(x); ++j) sum += std::int64_t{weight[j]} * from[j * channels + c];
        *to++ = detail::FixedAxis::to_byte(sum);
      }
    }
  }
  std::vector<std::int64_t> sums(static_cast<std::size_t>(line));
  for (Index y = 0; y < out.extent(0); ++y) {
    std::fill(sums.begin(), sums.end(), 0);
    for (Index j = 0; j < down.count(y); ++j) {
      const std::uint8_t* from = between.data() + (down.first(y) + j) * line;
      const std::int64_t weight = down.weight(y)[j];
      for (Index i = 0; i < line; ++i) sums[static_cast<std::size_t>(i)] += weight * from[i];
    }
    std::transform(sums.begin(), sums.end(), out.at(y), detail::FixedAxis::to_byte);
  }
}

/// The image with its short side `size` long and the long side in proportion, rounded down (torchvision's Resize).
/// Throws ArgumentError if that has more than kMostPixels pixels.
inline Image resize_short(const ConstPixels& in, Index size) {
  require_pixels("resize_short", "in", in);
  if (size < 1) throw ArgumentError("resize_short: size is " + std::to_string(size) + ", expected at least 1");
  constexpr const char* kResult = "resize_short: the result";
  require_image_size<ArgumentError>(kResult, size, size);  // at least; so the products below do not overflow
  const Index low = (std::min)(in.extent(0), in.extent(1));
  const Index height = size * in.extent(0) / low, width = size * in.extent(1) / low;
  require_image_size<ArgumentError>(kResult, height, width);
  Image out({height, width, in.extent(2)});
  resize(in, out.view());
  return out;
}

/// The middle of the image, `size` × `size`, which must fit (torchvision's CenterCrop: an odd pixel more is cut off
/// where half of it rounds to even).
inline ConstPixels centre_crop(const ConstPixels& in, Index size) {
  const auto middle = [&](Index extent) {
    return static_cast<Index>(std::nearbyint(static_cast<double>(extent - size) / 2));
  };
  return crop(in, middle(in.extent(0)), middle(in.extent(1)), size, size);
}

}  // namespace lion::image
