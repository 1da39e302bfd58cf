// Files that are there whole or not at all.

#include "lion/core/atomic_file.hpp"

#include <sys/stat.h>

#include "io/files.hpp"
#include "support/require_error.hpp"

using namespace lion;

TEST_CASE("an atomic file appears with its commit, and not without") {
  const Folder folder;
  const auto target = folder / "x";
  {
    AtomicFile file(target);
    file.write("ab");
    file.write(bytes_of("cd"));
    REQUIRE(!std::filesystem::exists(target));
    REQUIRE(folder.count() == 1);  // the temporary file, beside the target
    file.commit();
    REQUIRE(read_file(target) == "abcd");
  }
  REQUIRE(folder.count() == 1);
  try {
    AtomicFile file(target);
    file.write("half");
    throw 1;
  } catch (int) {
  }
  REQUIRE(folder.count() == 1);
  REQUIRE(read_file(target) == "abcd");

  // The mode of a new file, not the private one of a temporary.
  const mode_t mask = ::umask(022);
  {
    AtomicFile file(folder / "y");
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
  AtomicFile file(folder / "link");
  file.write("new");
  file.commit();
  REQUIRE(std::filesystem::is_symlink(folder / "link"));
  REQUIRE(read_file(folder / "real") == "new");
  REQUIRE(folder.count() == 2);
}

TEST_CASE("what cannot be written is named, and nothing is left") {
  const Folder folder;
  const std::string missing = (folder / "no/x").string();
  require_error<FileError>([&] { AtomicFile file(missing); }, "write: " + missing + ": No such file or directory");
  require_error<FileError>([&] { AtomicFile file(folder.path()); },
                           "write: " + folder.path().string() + " is a directory");
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  require_error<FileError>([&] { AtomicFile file(pipe); }, "write: " + pipe + " is no regular file");
  REQUIRE(folder.count() == 1);

  // The rename fails: a directory has taken the name meanwhile.
  const std::string taken = (folder / "taken").string();
  require_error<FileError>(
      [&] {
        AtomicFile file(taken);
        file.write("x");
        std::filesystem::create_directory(taken);
        file.commit();
      },
      "write: " + taken + ": Is a directory");
  REQUIRE(folder.count() == 2);
}
