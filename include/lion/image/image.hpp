#pragma once
/// Pictures as bytes.

#include <cstdint>
#include <string>

#include "lion/core/tensor.hpp"

namespace lion::image {

/// [height,width,channels], row-major, 0 … 255: the channels of a pixel lie side by side, as files and decoders have
/// them. Grey has 1 channel, colour 3 (red, green, blue).
using Image = Tensor<std::uint8_t, 3>;
using Pixels = View<std::uint8_t, 3>;
using ConstPixels = View<const std::uint8_t, 3>;

/// More pixels than this in one image are taken for a mistake or an attack (Pillow's limit).
inline constexpr Index kMostPixels = 178956970;

/// Throws Failure unless an image of this size may be made. `what` begins the message, as in "image: cat.png".
template <class Failure>
void require_image_size(const std::string& what, Index height, Index width) {
  if (height >= 1 && width >= 1 && height <= kMostPixels / width) return;
  throw Failure(what + " has " + std::to_string(height) + " x " + std::to_string(width) +
                " pixels, expected at least 1 and at most " + std::to_string(kMostPixels));
}

/// The grey of a colour as ITU-R 601-2 weighs it, to the last bit as Pillow's convert("L") has it.
inline std::uint8_t grey_of(std::uint32_t red, std::uint32_t green, std::uint32_t blue) {
  return static_cast<std::uint8_t>((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
}

/// Throws ArgumentError unless the view has at least one pixel and the pixels of a row lie side by side (an Image has
/// them so, and so has a `crop` of one).
template <class T>
void require_pixels(const char* operation, const char* argument, const View<T, 3>& view) {
  if (view.extent(0) < 1 || view.extent(1) < 1 || view.extent(2) < 1) {
    throw ArgumentError(std::string(operation) + ": " + argument + " has shape " + to_string(view.shape()) +
                        ", expected [height,width,channels] of at least 1 each");
  }
  if (view.stride(2) != 1 || view.stride(1) != view.extent(2)) {
    throw ArgumentError(std::string(operation) + ": " + argument + " has strides " + to_string(view.strides()) +
                        ", expected the pixels of a row side by side");
  }
}

/// The window of `height` rows and `width` columns from row `top` and column `left` on, which must lie inside.
template <class T>
View<T, 3> crop(const View<T, 3>& view, Index top, Index left, Index height, Index width) {
  if (top < 0 || left < 0 || height < 0 || width < 0 || height > view.extent(0) - top ||
      width > view.extent(1) - left) {
    throw ArgumentError("crop: the window is [" + std::to_string(height) + "," + std::to_string(width) + "] at [" +
                        std::to_string(top) + "," + std::to_string(left) + "], expected one inside " +
                        to_string(view.shape()));
  }
  return View<T, 3>(view.at(top, left), {height, width, view.extent(2)}, view.strides());
}

}  // namespace lion::image
