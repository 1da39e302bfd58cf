#pragma once
/// Text files line by line.

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <istream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion {

/// The lines of a stream, one in memory at a time, and errors that name it and the line:
/// `glue: dev.tsv line 7: 3 columns, expected 4`. A line ends at "\n" or "\r\n", the last one also at the end of the
/// file.
class LineReader {
 public:
  /// Opens a file; `operation` begins every message. Throws FileError if it cannot be opened.
  LineReader(std::string operation, const std::filesystem::path& path)
      : operation_(std::move(operation)), name_(path.string()) {
    errno = 0;
    auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
    const int error = errno;
    std::error_code unknown;
    if (std::filesystem::is_directory(path, unknown)) fail_file("is a directory, expected a file");
    if (!*file)
      throw FileError(operation_ + ": " + name_ + ": " +
                      (error ? std::generic_category().message(error) : "cannot be opened"));
    owned_ = std::move(file);
    stream_ = owned_.get();
  }

  /// Reads on from where a stream stands (a pipe, a string); it must outlive the reader. `name` stands for it in
  /// messages.
  LineReader(std::string operation, std::istream& stream, std::string name)
      : operation_(std::move(operation)), name_(std::move(name)), stream_(&stream) {}

  /// Puts the next line into `line`, without its end. False at the end of the file. Throws FileError if reading fails.
  bool next(std::string& line) {
    if (!std::getline(*stream_, line)) {
      if (stream_->bad()) fail_file("cannot be read after line " + std::to_string(number_));
      return false;
    }
    ++number_;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return true;
  }

  const std::string& name() const { return name_; }

  /// Of the line that `next` gave last, from 1.
  Index number() const { return number_; }

  /// Throws a FileError about the line that `next` gave last.
  [[noreturn]] void fail(std::string_view what) const {
    throw FileError(operation_ + ": " + name_ + " line " + std::to_string(number_) + ": " + std::string(what));
  }

  /// Throws a FileError about the whole file: `operation: name what`.
  [[noreturn]] void fail_file(std::string_view what) const {
    throw FileError(operation_ + ": " + name_ + " " + std::string(what));
  }

 private:
  std::string operation_, name_;
  std::unique_ptr<std::istream> owned_;
  std::istream* stream_ = nullptr;
  Index number_ = 0;
};

}  // namespace lion
