#pragma once
/// The bytes of a file.

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "lion/core/error.hpp"

namespace lion::image {

/// All bytes of a regular file of at most 2 GiB. `reader` begins every message. Throws FileError that names the file if
/// it is missing, unreadable, empty, larger or no regular file.
inline std::vector<std::byte> read_bytes(const std::string& reader, const std::filesystem::path& path) {
  const auto fail = [&](const std::string& what) { throw FileError(reader + ": " + path.string() + what); };
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    fail(": " + (error ? error : std::make_error_code(std::errc::no_such_file_or_directory)).message());
  }
  if (std::filesystem::is_directory(status)) fail(" is a directory, expected a file");
  if (!std::filesystem::is_regular_file(status)) fail(" is no regular file");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail(": " + error.message());
  if (size == 0) fail(" is empty");
  if (size > std::uintmax_t{0x7fffffff}) fail(" has " + std::to_string(size) + " bytes, expected at most 2147483647");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(": " + std::generic_category().message(errno ? errno : EIO));
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (file.gcount() != static_cast<std::streamsize>(size)) fail(" cannot be read");
  return bytes;
}

}  // namespace lion::image
