#pragma once
/// IDX files, in which MNIST and its kin come (LeCun, Cortes, Burges; http://yann.lecun.com/exdb/mnist): unsigned bytes
/// in one dimension (idx1-ubyte, labels) or three (idx3-ubyte, images). Sizes are big-endian.

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/image/file.hpp"
#include "lion/image/image_set.hpp"

namespace lion::image {

/// The array of an IDX file of unsigned bytes in Rank dimensions. `name` stands for the file in messages. Throws
/// FileError that says what is wrong; a file compressed with gzip is told to be unpacked first.
template <std::size_t Rank>
View<const std::uint8_t, Rank> parse_idx(std::span<const std::byte> bytes, const std::string& name) {
  const auto fail = [&](const std::string& what) { throw FileError("idx: " + name + " " + what); };
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
  if (bytes.size() >= 2 && byte(0) == 0x1f && byte(1) == 0x8b) {
    fail("is compressed with gzip, which is not read: unpack it first (gunzip)");
  }
  constexpr std::size_t kHeader = 4 + 4 * Rank;
  if (bytes.size() < kHeader) {
    fail("has " + std::to_string(bytes.size()) + " bytes, expected at least " + std::to_string(kHeader) +
         ", the header");
  }
  const auto word = [&](std::size_t i) { return byte(i) << 24 | byte(i + 1) << 16 | byte(i + 2) << 8 | byte(i + 3); };
  if (const std::uint32_t magic = word(0); magic != 0x0800u + Rank) {
    constexpr const char* kDigits = "0123456789abcdef";
    std::string text;
    for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[magic >> shift & 15u];
    fail("begins with 0x" + text + ", expected 0x0000080" + std::to_string(Rank) + ": unsigned bytes in " +
         std::to_string(Rank) + (Rank == 1 ? " dimension" : " dimensions"));
  }
  Shape<Rank> shape{};
  const std::uint64_t held = bytes.size() - kHeader;
  // With 1 for each 0, since the strides of an empty array must be numbers too.
  constexpr std::uint64_t kMost = (std::numeric_limits<Index>::max)();
  std::uint64_t size = 1;
  bool empty = false;
  for (std::size_t r = 0; r < Rank; ++r) {
    shape[r] = static_cast<Index>(word(4 + 4 * r));
    empty = empty || shape[r] == 0;
  }
  for (const Index extent : shape) {
    const std::uint64_t factor = extent == 0 ? 1 : static_cast<std::uint64_t>(extent);
    if (size > kMost / factor) fail("has shape " + to_string(shape) + ", which no memory holds");
    size *= factor;
  }
  if (empty) size = 0;
  if (size != held)
    fail("has shape " + to_string(shape) + ", but " + std::to_string(held) + " bytes follow its header");
  return View<const std::uint8_t, Rank>(reinterpret_cast<const std::uint8_t*>(bytes.data() + kHeader), shape);
}

/// Images [N,height,width,1] from one file and their labels from another, such as train-images-idx3-ubyte and
/// train-labels-idx1-ubyte. N ≥ 1 and labels are in [0, classes). Throws FileError that names the file.
inline ImageSet read_idx(const std::filesystem::path& images, const std::filesystem::path& labels, Index classes = 10) {
  const std::vector<std::byte> image_bytes = read_bytes("idx", images), label_bytes = read_bytes("idx", labels);
  const auto pixels = parse_idx<3>(image_bytes, images.string());
  const auto marks = parse_idx<1>(label_bytes, labels.string());
  const Index n = pixels.extent(0);
  if (pixels.size() == 0) {
    throw FileError("idx: " + images.string() + " has shape " + to_string(pixels.shape()) +
                    ", expected at least one image of at least one pixel");
  }
  if (marks.extent(0) != n) {
    throw FileError("idx: " + labels.string() + " has " + std::to_string(marks.extent(0)) + " labels, but " +
                    images.string() + " has " + std::to_string(n) + " images");
  }
  ImageSet set{Tensor<std::uint8_t, 4>({n, pixels.extent(1), pixels.extent(2), 1}), {}, classes};
  std::copy_n(pixels.data(), pixels.size(), set.pixels.data());
  set.labels.reserve(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    if (marks(i) >= classes) {
      throw FileError("idx: " + labels.string() + ": label " + std::to_string(i) + " is " + std::to_string(marks(i)) +
                      ", expected a value in [0, " + std::to_string(classes) + ")");
    }
    set.labels.push_back(marks(i));
  }
  return set;
}

}  // namespace lion::image
