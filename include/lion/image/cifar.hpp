#pragma once
/// The binary files of CIFAR-10 and CIFAR-100 (Krizhevsky, 2009; https://www.cs.toronto.edu/~kriz/cifar.html).

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/image/file.hpp"
#include "lion/image/image_set.hpp"

namespace lion::image {

/// What the records of a file are: label bytes, then 32×32 red, green and blue values, one colour after the other.
struct CifarFormat {
  Index label_bytes = 1;  ///< before the pixels; the last of them is the class
  Index classes = 10;

  static constexpr Index side = 32;
  static CifarFormat cifar10() { return {}; }
  /// The byte before the class, the superclass in [0, 20), is passed over.
  static CifarFormat cifar100() { return {2, 100}; }
};

namespace detail {
/// Fills records [first, first + n) of the set from the file's bytes.
inline void fill_from_cifar(std::span<const std::byte> bytes, const CifarFormat& format, const std::string& name,
                            ImageSet& set, Index first) {
  constexpr Index kPlane = CifarFormat::side * CifarFormat::side;
  const Index record = format.label_bytes + 3 * kPlane;
  const Index n = static_cast<Index>(bytes.size()) / record;
  for (Index i = 0; i < n; ++i) {
    const std::byte* at = bytes.data() + i * record;
    const auto label = std::to_integer<Index>(at[format.label_bytes - 1]);
    if (label >= format.classes) {
      throw FileError("cifar: " + name + " record " + std::to_string(i) + ": label is " + std::to_string(label) +
                      ", expected a value in [0, " + std::to_string(format.classes) + ")");
    }
    set.labels[static_cast<std::size_t>(first + i)] = label;
    const std::byte* planes = at + format.label_bytes;
    std::uint8_t* to = set.pixels.view().at(first + i);
    for (Index p = 0; p < kPlane; ++p) {
      for (Index c = 0; c < 3; ++c) to[p * 3 + c] = std::to_integer<std::uint8_t>(planes[c * kPlane + p]);
    }
  }
}

inline Index cifar_records(std::size_t size, const CifarFormat& format, const std::string& name) {
  const Index record = format.label_bytes + 3 * CifarFormat::side * CifarFormat::side;
  const auto bytes = static_cast<Index>(size);
  if (bytes == 0 || bytes % record != 0) {
    throw FileError("cifar: " + name + " has " + std::to_string(bytes) + " bytes, expected a multiple of " +
                    std::to_string(record) + ", the size of a record");
  }
  return bytes / record;
}

inline ImageSet cifar_set(Index n, const CifarFormat& format) {
  return {Tensor<std::uint8_t, 4>({n, CifarFormat::side, CifarFormat::side, 3}),
          std::vector<Index>(static_cast<std::size_t>(n)), format.classes};
}
}  // namespace detail

/// The bytes of one file; `name` stands for it in messages. Throws FileError.
inline ImageSet parse_cifar(std::span<const std::byte> bytes, const CifarFormat& format, const std::string& name) {
  const Index n = detail::cifar_records(bytes.size(), format, name);
  ImageSet set = detail::cifar_set(n, format);
  detail::fill_from_cifar(bytes, format, name, set, 0);
  return set;
}

/// The files one after the other, such as data_batch_1.bin … data_batch_5.bin. At least one. Throws FileError that
/// names the file if one is missing, is not made of whole records, or has a label that is no class.
inline ImageSet read_cifar(std::span<const std::filesystem::path> paths, const CifarFormat& format) {
  if (paths.empty()) throw ArgumentError("cifar: paths is empty, expected at least one file");
  std::vector<std::vector<std::byte>> files;
  Index n = 0;
  for (const auto& path : paths) {
    files.push_back(read_bytes("cifar", path));
    n += detail::cifar_records(files.back().size(), format, path.string());
  }
  ImageSet set = detail::cifar_set(n, format);
  Index first = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    detail::fill_from_cifar(files[i], format, paths[i].string(), set, first);
    first += detail::cifar_records(files[i].size(), format, paths[i].string());
  }
  return set;
}
inline ImageSet read_cifar(const std::filesystem::path& path, const CifarFormat& format) {
  return read_cifar(std::span(&path, 1), format);
}

}  // namespace lion::image
