// Files on disk: mapped to be read, replaced whole when written.

#include "io/files.hpp"

#include <sys/stat.h>

#include "lion/io/atomic_file.hpp"
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

TEST_CASE("an atomic file appears with its commit, and not without") {
  const Folder folder;
  const auto target = folder / "x";
  {
    io::AtomicFile file(target);
    file.write("ab");
    file.write(bytes_of("cd"));
    REQUIRE(!std::filesystem::exists(target));
    REQUIRE(folder.count() == 1);  // the temporary file, beside the target
    file.commit();
    REQUIRE(read_file(target) == "abcd");
  }
  REQUIRE(folder.count() == 1);
  try {
    io::AtomicFile file(target);
    file.write("half");
    throw 1;
  } catch (int) {
  }
  REQUIRE(folder.count() == 1);
  REQUIRE(read_file(target) == "abcd");

  // The mode of a new file, not the private one of a temporary.
  const mode_t mask = ::umask(022);
  {
    io::AtomicFile file(folder / "y");
    file.commit();
  }
  ::umask(mask);
  REQUIRE((std::filesystem::status(folder / "y").permissions() == std::filesystem::perms(0644)));
  REQUIRE(read_file(folder / "y").empty());
}

TEST_CASE("a symbolic link stays, its file is replaced") {
  const Folder folder;
  write_file(folder / "real", "old");
  std::filesystem::create_symlink("real", folder / "link");
  io::AtomicFile file(folder / "link");
  file.write("new");
  file.commit();
  REQUIRE(std::filesystem::is_symlink(folder / "link"));
  REQUIRE(read_file(folder / "real") == "new");
  REQUIRE(folder.count() == 2);
}

TEST_CASE("what cannot be written is named, and nothing is left") {
  const Folder folder;
  const std::string missing = (folder / "no/x").string();
  require_error<FileError>([&] { io::AtomicFile file(missing); }, "write: " + missing + ": No such file or directory");
  require_error<FileError>([&] { io::AtomicFile file(folder.path()); },
                           "write: " + folder.path().string() + " is a directory");
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  require_error<FileError>([&] { io::AtomicFile file(pipe); }, "write: " + pipe + " is no regular file");
  REQUIRE(folder.count() == 1);

  // The rename fails: a directory has taken the name meanwhile.
  const std::string taken = (folder / "taken").string();
  require_error<FileError>(
      [&] {
        io::AtomicFile file(taken);
        file.write("x");
        std::filesystem::create_directory(taken);
        file.commit();
      },
      "write: " + taken + ": Is a directory");
  REQUIRE(folder.count() == 2);

  const std::string file = missing;
  require_error<FileError>([&] { io::SafetensorsWriter().write(file); },
                           "write: " + file + ": No such file or directory");
}
