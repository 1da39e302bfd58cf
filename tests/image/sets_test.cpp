// CIFAR, IDX and PNM files.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/files.hpp"
#include "lion/image/cifar.hpp"
#include "lion/image/idx.hpp"
#include "lion/image/pnm.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::image;

namespace {

/// `labels` bytes and then the pixels: plane c at pixel p is (i + 7·c + p) mod 251.
std::string cifar_record(std::vector<int> labels, int i) {
  std::string record;
  for (int label : labels) record += static_cast<char>(label);
  for (int c = 0; c < 3; ++c) {
    for (int p = 0; p < 1024; ++p) record += static_cast<char>((i + 7 * c + p) % 251);
  }
  return record;
}

std::string big_endian(std::initializer_list<std::uint32_t> words) {
  std::string text;
  for (std::uint32_t word : words) {
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(word >> shift & 255u);
  }
  return text;
}

/// Exactly as many bytes as the text has, on the heap: the address sanitizer sees a read beyond them.
std::vector<std::byte> exact(const std::string& text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

template <std::size_t Rank>
void rejects_idx(const std::string& file, const std::string& message) {
  const auto bytes = exact(file);
  require_error<FileError>([&] { parse_idx<Rank>(bytes, "m"); }, "idx: m " + message);
}

void rejects_pnm(const std::string& file, const std::string& message) {
  const auto bytes = exact(file);
  require_error<FileError>([&] { decode_pnm(bytes, 3, "m"); }, "image: m " + message);
}

std::vector<int> values(const Image& image) { return {image.data(), image.data() + image.size()}; }

}  // namespace

TEST_CASE("CIFAR files become one set, colours side by side") {
  const Folder folder;
  write_file(folder / "data_batch_1.bin", cifar_record({3}, 0) + cifar_record({9}, 1));
  write_file(folder / "data_batch_2.bin", cifar_record({0}, 2));
  const std::vector<std::filesystem::path> paths{folder / "data_batch_1.bin", folder / "data_batch_2.bin"};
  const ImageSet set = read_cifar(paths, CifarFormat::cifar10());
  REQUIRE(set.labels == std::vector<Index>{3, 9, 0});
  REQUIRE(set.classes == 10);
  REQUIRE(set.pixels.shape() == Shape<4>{3, 32, 32, 3});
  for (Index i = 0; i < 3; ++i) {
    const ConstPixels image = set.image(i);
    REQUIRE(image.shape() == Shape<3>{32, 32, 3});
    for (Index c = 0; c < 3; ++c) {
      REQUIRE(image(0, 0, c) == i + 7 * c);
      REQUIRE(image(5, 9, c) == (i + 7 * c + 5 * 32 + 9) % 251);
      REQUIRE(image(31, 31, c) == (i + 7 * c + 1023) % 251);
    }
  }

  write_file(folder / "train.bin", cifar_record({19, 99}, 4));
  const ImageSet hundred = read_cifar(folder / "train.bin", CifarFormat::cifar100());
  REQUIRE(hundred.labels == std::vector<Index>{99});
  REQUIRE(hundred.classes == 100);
  REQUIRE(hundred.image(0)(0, 1, 2) == 4 + 14 + 1);
}

TEST_CASE("CIFAR says which file is wrong and how") {
  const Folder folder;
  const auto refused = [&](const std::string& content, const CifarFormat& format, const std::string& message) {
    const auto path = folder / "batch.bin";
    write_file(path, content);
    require_error<FileError>([&] { read_cifar(path, format); }, "cifar: " + path.string() + message);
  };
  const std::string record = cifar_record({3}, 0);
  refused(record.substr(1), CifarFormat::cifar10(),
          " has 3072 bytes, expected a multiple of 3073, the size of a record");
  refused(record, CifarFormat::cifar100(), " has 3073 bytes, expected a multiple of 3074, the size of a record");
  refused("", CifarFormat::cifar10(), " is empty");
  refused(record + cifar_record({10}, 0), CifarFormat::cifar10(),
          " record 1: label is 10, expected a value in [0, 10)");
  refused(cifar_record({0, 255}, 0), CifarFormat::cifar100(), " record 0: label is 255, expected a value in [0, 100)");
  require_error<FileError>([&] { read_cifar(folder / "absent", CifarFormat::cifar10()); },
                           "cifar: " + (folder / "absent").string() + ": No such file or directory");
  require_error<FileError>([&] { read_cifar(folder.path(), CifarFormat::cifar10()); },
                           "cifar: " + folder.path().string() + " is a directory, expected a file");
  require_error<FileError>([&] { read_cifar("/dev/null", CifarFormat::cifar10()); },
                           "cifar: /dev/null is no regular file");
  require_error<ArgumentError>([&] { read_cifar(std::span<const std::filesystem::path>(), CifarFormat::cifar10()); },
                               "cifar: paths is empty, expected at least one file");
}

TEST_CASE("IDX images and labels become one set") {
  const Folder folder;
  write_file(folder / "images", big_endian({0x803, 2, 1, 3}) + "\1\2\3\4\5\xff");
  write_file(folder / "labels", big_endian({0x801, 2}) + "\7\3");
  const ImageSet set = read_idx(folder / "images", folder / "labels");
  REQUIRE(set.pixels.shape() == Shape<4>{2, 1, 3, 1});
  REQUIRE(set.labels == std::vector<Index>{7, 3});
  REQUIRE(set.image(1)(0, 2, 0) == 255);
  REQUIRE(set.image(0)(0, 1, 0) == 2);

  require_error<FileError>([&] { read_idx(folder / "images", folder / "labels", 7); },
                           "idx: " + (folder / "labels").string() + ": label 0 is 7, expected a value in [0, 7)");
  write_file(folder / "three", big_endian({0x801, 3}) + "\1\2\3");
  require_error<FileError>(
      [&] { read_idx(folder / "images", folder / "three"); },
      "idx: " + (folder / "three").string() + " has 3 labels, but " + (folder / "images").string() + " has 2 images");
  write_file(folder / "none", big_endian({0x803, 2, 0, 3}));
  require_error<FileError>(
      [&] { read_idx(folder / "none", folder / "labels"); },
      "idx: " + (folder / "none").string() + " has shape [2,0,3], expected at least one image of at least one pixel");
}

TEST_CASE("IDX files that are not what was asked for") {
  rejects_idx<3>("", "has 0 bytes, expected at least 16, the header");
  rejects_idx<3>(big_endian({0x803, 1, 1}), "has 12 bytes, expected at least 16, the header");
  rejects_idx<1>(big_endian({0x803, 1, 1, 1}) + "x",
                 "begins with 0x00000803, expected 0x00000801: unsigned bytes in 1 dimension");
  rejects_idx<3>(big_endian({0xd03, 1, 1, 1}) + "xxxx",
                 "begins with 0x00000d03, expected 0x00000803: unsigned bytes in 3 dimensions");
  rejects_idx<3>("\x1f\x8b\x08", "is compressed with gzip, which is not read: unpack it first (gunzip)");
  rejects_idx<3>(big_endian({0x803, 2, 1, 3}) + "12345", "has shape [2,1,3], but 5 bytes follow its header");
  rejects_idx<3>(big_endian({0x803, 2, 1, 3}) + "1234567", "has shape [2,1,3], but 7 bytes follow its header");
  // The product of the sizes is 0 in 64 bits; the strides of an empty array must be numbers too.
  rejects_idx<3>(big_endian({0x803, 0x80000000, 0x80000000, 4}),
                 "has shape [2147483648,2147483648,4], which no memory holds");
  rejects_idx<3>(big_endian({0x803, 0, 0xffffff7f, 0xffffffff}),
                 "has shape [0,4294967167,4294967295], which no memory holds");
  rejects_idx<3>(big_endian({0x803, 0, 28, 28}) + "x", "has shape [0,28,28], but 1 bytes follow its header");
}

TEST_CASE("PNM files: colour, grey, comments, other largest values") {
  const auto decoded = [](const std::string& file, Index channels) {
    return values(decode_pnm(exact(file), channels, "m"));
  };
  REQUIRE(decoded("P6 2 1 255\n\1\2\3\4\5\6", 3) == std::vector<int>{1, 2, 3, 4, 5, 6});
  REQUIRE(decoded("P5\n# by hand\n1 2\n#\n255\n\x10\x20", 1) == std::vector<int>{16, 32});
  REQUIRE(decoded("P5 1 1 255 \x37", 3) == std::vector<int>{55, 55, 55});
  REQUIRE(decoded("P6 1 1 255\n\xc8\x64\x32", 1) == std::vector<int>{124});  // 0.299, 0.587, 0.114
  REQUIRE(decoded("P5 3 1 15\n" + std::string("\0\x0f\x08", 3), 1) == std::vector<int>{0, 255, 136});
  REQUIRE(decoded("P5 2 1 65535\n" + std::string("\xff\xff\x80\0", 4), 1) == std::vector<int>{255, 128});

  rejects_pnm("", "does not begin with P5 or P6");
  rejects_pnm("P3 1 1 255\n1 2 3", "does not begin with P5 or P6");
  rejects_pnm("P6", "has a header whose width is no number of at least 1");
  rejects_pnm("P6 # no end", "has a header whose width is no number of at least 1");
  rejects_pnm("P6 2 -1 255\n", "has a header whose height is no number of at least 1");
  rejects_pnm("P6 2 1 0\n", "has a header whose largest value is no number of at least 1");
  rejects_pnm("P6 99999999999999999999 1 255\n", "has a header whose width is above 178956970");
  rejects_pnm("P6 100000 100000 255\n", "has 100000 x 100000 pixels, expected at least 1 and at most 178956970");
  rejects_pnm("P6 1 1 65536\n", "has the largest value 65536, expected at most 65535");
  rejects_pnm("P6 2 1 255\n12345", "is cut short: 5 bytes of pixels, expected 6");
  rejects_pnm("P6 2 1 255", "is cut short: 0 bytes of pixels, expected 6");
}
