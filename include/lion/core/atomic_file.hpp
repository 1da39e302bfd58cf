#pragma once
/// Files that are there whole or not at all.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "lion/core/error.hpp"

namespace lion {

/// Writes to a temporary file beside the target and renames it over the target in `commit`, after its bytes are on
/// disk: at no moment does a reader find half a file. Without a commit the temporary file is removed and the target is
/// as it was. A target that is a symbolic link is written where the link points to. Every failure throws FileError
/// naming the target.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path) : path_(path), target_(path) {
    std::error_code ignored;
    const auto status = std::filesystem::status(path_, ignored);
    if (std::filesystem::is_directory(status)) throw FileError("write: " + path_.string() + " is a directory");
    if (std::filesystem::exists(status)) {
      // Renaming over a device or a pipe would replace it.
      if (!std::filesystem::is_regular_file(status))
        throw FileError("write: " + path_.string() + " is no regular file");
      std::error_code error;
      if (auto resolved = std::filesystem::canonical(path_, error); !error) target_ = std::move(resolved);
    }
    static std::atomic<unsigned> counter{0};
    do {
      temporary_ = target_;
      temporary_ += "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
      // The mode that any new file gets; O_EXCL so that nobody's file is taken over.
      file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file_ < 0 && errno == EEXIST);
    if (file_ < 0) fail(errno);
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (file_ >= 0) ::close(file_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends.
  void write(std::span<const std::byte> bytes) {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // a write takes less than 2 GiB
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_, bytes.data(), (std::min)(bytes.size(), kMost));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Puts the file in its place. Nothing may be written afterwards.
  void commit() {
    if (::fsync(file_) != 0) fail(errno);
    if (::close(std::exchange(file_, -1)) != 0) fail(errno);
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
    committed_ = true;
    // The new name is on disk once its directory is; where directories cannot be synchronised the file is still whole.
    const std::filesystem::path directory = target_.has_parent_path() ? target_.parent_path() : ".";
    if (const int handle = ::open(directory.c_str(), O_RDONLY | O_CLOEXEC); handle >= 0) {
      const int error = ::fsync(handle) != 0 ? errno : 0;
      ::close(handle);
      if (error == EIO || error == ENOSPC || error == EDQUOT) fail(error);
    }
  }

 private:
  [[noreturn]] void fail(int error) const {
    throw FileError("write: " + path_.string() + ": " + std::generic_category().message(error));
  }

  std::filesystem::path path_, target_, temporary_;
  int file_ = -1;
  bool committed_ = false;
};

/// Removes what processes that were killed while they wrote this file left beside it. Call it on the machine, and in
/// the container, that writes the file: a process of another one seems to be gone.
inline void remove_abandoned_files(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::canonical(path, error), target = error ? path : resolved;
  const std::string begin = target.filename().string() + ".", end = ".tmp";
  const std::filesystem::path directory = target.has_parent_path() ? target.parent_path() : ".";
  for (std::filesystem::directory_iterator entry(directory, error), none; !error && entry != none;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() <= begin.size() + end.size() || !name.starts_with(begin) || !name.ends_with(end)) continue;
    const char *first = name.data() + begin.size(), *last = name.data() + name.size() - end.size();
    int process = 0;
    const auto [dash, number] = std::from_chars(first, last, process);
    if (number != std::errc() || process < 1 || dash == last || *dash != '-') continue;
    if (!std::all_of(dash + 1, last, [](char c) { return c >= '0' && c <= '9'; })) continue;  // somebody else's
    if (::kill(process, 0) != 0 && errno == ESRCH) ::unlink(entry->path().c_str());
  }
}

}  // namespace lion
