// Files on disk: mapped to be read, named when they cannot be.

#include "io/files.hpp"

#include <sys/stat.h>

#include "lion/io/mapped_file.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "support/require_error.hpp"

using namespace lion;

TEST_CASE("a mapped file is the file's bytes") {
  const Folder folder;
  write_file(folder / "x", "hello");
  io::MappedFile map(folder / "x");
  io::MappedFile moved(std::move(map));
  REQUIRE(map.bytes().empty());
  REQUIRE(std::string(reinterpret_cast<const char*>(moved.bytes().data()), moved.bytes().size()) == "hello");
  write_file(folder / "y", "there");
  moved = io::MappedFile(folder / "y");
  REQUIRE(moved.bytes()[0] == std::byte{'t'});
}

TEST_CASE("what is no file with content is named") {
  const Folder folder;
  const std::string x = (folder / "x").string();
  require_error<FileError>([&] { io::SafetensorsFile::open(x); }, "open: " + x + ": No such file or directory");
  require_error<FileError>([&] { io::SafetensorsFile::open(folder.path()); },
                           "open: " + folder.path().string() + " is a directory, expected a file");
  write_file(x, "");
  require_error<FileError>([&] { io::SafetensorsFile::open(x); }, "open: " + x + " is empty");
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  require_error<FileError>([&] { io::SafetensorsFile::open(pipe); }, "open: " + pipe + " is no regular file");
  write_file(x, "short");
  require_error<FileError>([&] { io::SafetensorsFile::open(x); },
                           "safetensors: " + x + ": file has 5 bytes, expected at least 8, the header's length");
}

TEST_CASE("an open file may be moved, and outlives its replacement on disk") {
  const Folder folder;
  const auto save = [&](float value) {
    Tensor<float, 1> x({2});
    x.fill(value);
    io::SafetensorsWriter writer;
    writer.add("x", x);
    writer.write(folder / "m");
  };
  save(1);
  auto first = io::SafetensorsFile::open(folder / "m");
  REQUIRE(first.name() == (folder / "m").string());
  const auto view = first.view<float, 1>("x");
  save(2);
  const auto moved = std::move(first);
  REQUIRE(view(1) == 1);
  REQUIRE(moved.read_values<float>("x") == std::vector<float>{1, 1});
  REQUIRE(io::SafetensorsFile::open(folder / "m").read_values<float>("x") == std::vector<float>{2, 2});
  REQUIRE(folder.count() == 1);
}

TEST_CASE("a safetensors file that cannot be written is named") {
  const Folder folder;
  const std::string file = (folder / "no/x").string();
  require_error<FileError>([&] { io::SafetensorsWriter().write(file); },
                           "write: " + file + ": No such file or directory");
}
