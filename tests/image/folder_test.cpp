#include "lion/image/folder.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include "image/encoded.hpp"
#include "image/pictures.hpp"
#include "io/files.hpp"
#include "lion/image/decode.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::image;
namespace fs = std::filesystem;

namespace {

Image decoded(std::string_view bytes, Index channels) { return decode(bytes_of(bytes), channels, "m"); }

/// That an error is a FileError which begins by naming the file: what follows is the decoder's.
void require_undecodable(std::string_view bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  try {
    decode(std::as_bytes(std::span(exact)), 3, "m");
    FAIL("decoded " << bytes.size() << " bytes");
  } catch (const FileError& error) {
    const std::string message = error.what();
    INFO(message);
    REQUIRE(message.starts_with("image: m is no PNG, JPEG, PPM or PGM image that can be decoded: "));
  }
}

}  // namespace

TEST_CASE("PNG, JPEG and PPM are decoded by what they begin with") {
  REQUIRE(fnv(decoded(kColourPng, 3)) == fnv(picture(3, 4)));
  const Image dropped = decoded(kTransparentPng, 3);
  REQUIRE(dropped.shape() == Shape<3>{2, 2, 3});
  for (Index i = 0; i < 4; ++i) REQUIRE(dropped.data()[3 * i + 1] == 20);
  const Image photograph = decoded(kGreyJpeg, 3);
  REQUIRE(photograph.shape() == Shape<3>{8, 8, 3});
  for (Index i = 0; i < photograph.size(); ++i) REQUIRE(std::abs(photograph.data()[i] - 77) <= 1);
  REQUIRE(decoded("P6 1 1 255\nabc", 3)(0, 0, 2) == 'c');
  // The bytes of Pillow's convert("L"), and what is grey already as it is.
  const Image grey = decoded(kColourPng, 1);
  REQUIRE(grey.shape() == Shape<3>{3, 4, 1});
  REQUIRE(std::vector<int>(grey.data(), grey.data() + 12) ==
          std::vector<int>{68, 71, 80, 95, 75, 83, 97, 117, 82, 95, 114, 139});
  const Image colour = decoded(kColourJpeg, 3), weighed = decoded(kColourJpeg, 1);
  REQUIRE(weighed.shape() == Shape<3>{8, 8, 1});
  for (Index p = 0; p < 64; ++p) {
    const std::uint8_t* from = colour.data() + 3 * p;
    REQUIRE(weighed.data()[p] == grey_of(from[0], from[1], from[2]));
  }
  REQUIRE(decoded(kTransparentPng, 1)(1, 1, 0) == grey_of(10, 20, 30));
  const Image plain = decoded(kGreyJpeg, 1);
  for (Index p = 0; p < 64; ++p) REQUIRE(plain.data()[p] == photograph.data()[3 * p]);

  require_undecodable("");
  require_undecodable("GIF89a");
  for (std::size_t size : {std::size_t{20}, std::size_t{60}, kColourPng.size() - 20}) {
    require_undecodable(kColourPng.substr(0, size));
  }
  for (std::size_t size : {std::size_t{10}, kGreyJpeg.size() / 2}) require_undecodable(kGreyJpeg.substr(0, size));
  for (std::size_t size : {kGreyJpeg.size() - 4, kGreyJpeg.size() - 1}) {
    require_error<FileError>([&] { decoded(kGreyJpeg.substr(0, size), 3); },
                             "image: m is cut short: its JPEG data has no end");
  }
  const auto sized = [](std::string_view width, std::string_view height) {
    return std::string(kColourPng).replace(16, 4, width).replace(20, 4, height);
  };
  require_error<FileError>([&] { decoded(sized("\0\0\x40\0"sv, "\0\0\x3f\0"sv), 3); },
                           "image: m has 16128 x 16384 pixels, expected at least 1 and at most 178956970");
  require_error<FileError>([&] { decoded(sized("\0\0\xff\xff"sv, "\0\0\xff\xff"sv), 3); },
                           "image: m is no PNG, JPEG, PPM or PGM image that can be decoded: too large");
  require_error<FileError>([&] { decoded(sized("\0\1\0\0"sv, "\0\0\0\1"sv), 3); },
                           "image: m is no PNG, JPEG, PPM or PGM image that can be decoded: too large");
  require_error<ArgumentError>([] { decoded(kColourPng, 4); }, "image: channels is 4, expected 1 or 3");
}

TEST_CASE("an image folder's classes are its directories, sorted, its samples their images, sorted") {
  const Folder root;
  fs::create_directories(root / "dog" / "inner");
  fs::create_directory(root / "cat");
  write_file(root / "readme.png", "of no class");
  write_file(root / "dog" / "b.PNG", kColourPng);
  write_file(root / "dog" / "a.jpeg", kGreyJpeg);
  write_file(root / "dog" / "inner" / "c.ppm", "P6 1 1 255\n\1\2\3");
  write_file(root / "dog" / "notes.txt", "passed over");
  write_file(root / "cat" / "z.pgm", "P5 1 1 255\n\4");
  const ImageFolder data(root.path());
  REQUIRE(data.names() == std::vector<std::string>{"cat", "dog"});
  REQUIRE(data.classes() == 2);
  REQUIRE(data.size() == 4);
  std::vector<std::string> found;
  for (Index i = 0; i < data.size(); ++i) {
    found.push_back(data.path(i).lexically_relative(root.path()).generic_string() + " " +
                    std::to_string(data.label(i)));
  }
  REQUIRE(found == std::vector<std::string>{"cat/z.pgm 0", "dog/a.jpeg 1", "dog/b.PNG 1", "dog/inner/c.ppm 1"});
  REQUIRE(data.image(0).shape() == Shape<3>{1, 1, 3});
  REQUIRE(fnv(data.image(2)) == fnv(picture(3, 4)));
  REQUIRE(ImageFolder(root.path(), 1).image(3).shape() == Shape<3>{1, 1, 1});

  write_file(root / "dog" / "b.PNG", "no longer an image");
  require_error<FileError>(
      [&] { data.image(2); },
      "image: " + data.path(2).string() + " is no PNG, JPEG, PPM or PGM image that can be decoded: unknown image type");
  fs::remove(root / "dog" / "b.PNG");
  require_error<FileError>([&] { data.image(2); }, "image: " + data.path(2).string() + ": No such file or directory");
}

TEST_CASE("an image folder lists a class as torchvision walks it: by the text of a directory's path, then by name") {
  const Folder root;
  const fs::path dog = root / "dog";
  fs::create_directories(dog / "a" / "b");
  fs::create_directory(dog / "a-b");
  for (const char* name : {"z.pgm", "a/y.pgm", "a/b/x.pgm", "a-b/w.pgm", "a/a.pgm"}) {
    write_file(dog / name, "P5 1 1 255\n\4");
  }
  const ImageFolder data(root.path());
  std::vector<std::string> found;
  for (Index i = 0; i < data.size(); ++i) found.push_back(data.path(i).lexically_relative(dog).generic_string());
  // What Python's sorted(os.walk(…)) gives: '-' comes before '/'.
  REQUIRE(found == std::vector<std::string>{"z.pgm", "a/a.pgm", "a/y.pgm", "a-b/w.pgm", "a/b/x.pgm"});
}

TEST_CASE("an image folder says what is missing") {
  const Folder root;
  require_error<FileError>([&] { ImageFolder data(root / "absent"); },
                           "image folder: " + (root / "absent").string() + " is no directory");
  require_error<FileError>(
      [&] { ImageFolder data(root.path()); },
      "image folder: " + root.path().string() + " has no directories, expected one for each class");
  fs::create_directory(root / "empty");
  write_file(root / "empty" / "notes.txt", "");
  require_error<FileError>([&] { ImageFolder data(root.path()); },
                           "image folder: " + (root / "empty").string() +
                               " has no images, expected files that end in .png, .jpg, .jpeg, .ppm or .pgm");
  require_error<ArgumentError>([&] { ImageFolder data(root.path(), 2); },
                               "image folder: channels is 2, expected 1 or 3");
  fs::create_directory_symlink(root / "empty", root / "empty" / "itself");
  REQUIRE_THROWS_AS(ImageFolder(root.path()), FileError);  // a circle of links ends
}
