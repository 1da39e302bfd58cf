#pragma once
/// A file's bytes in memory without reading them first.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "lion/core/error.hpp"

namespace lion::io {

/// A read-only memory map of a regular file (POSIX mmap); pages are loaded as they are touched. Owns the map, moves,
/// does not copy. Whoever shortens the file while it is mapped makes reads beyond its new end a bus error: replace
/// files by renaming, as AtomicFile does.
class MappedFile {
 public:
  /// Throws FileError, naming the file, if it is missing, unreadable, empty, a directory or no regular file.
  explicit MappedFile(const std::filesystem::path& path) {
    // Non-blocking, or opening a pipe that nobody writes to would wait for ever.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) fail(path, errno);
    struct stat status {};
    const int error = ::fstat(file, &status) != 0 ? errno : 0;
    void* address = MAP_FAILED;
    int map_error = 0;
    if (error == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      map_error = errno;
    }
    ::close(file);  // the map keeps the file
    if (error != 0) fail(path, error);
    if (S_ISDIR(status.st_mode)) throw FileError("open: " + path.string() + " is a directory, expected a file");
    if (!S_ISREG(status.st_mode)) throw FileError("open: " + path.string() + " is no regular file");
    if (status.st_size <= 0) throw FileError("open: " + path.string() + " is empty");
    if (address == MAP_FAILED) fail(path, map_error);
    address_ = address;
  }
  MappedFile(MappedFile&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (address_) ::munmap(address_, size_);
  }

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(address_), size_}; }

 private:
  [[noreturn]] static void fail(const std::filesystem::path& path, int error) {
    throw FileError("open: " + path.string() + ": " + std::generic_category().message(error));
  }

  void* address_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lion::io
