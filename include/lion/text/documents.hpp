#pragma once
/// Text files as a stream of documents, one in memory at a time.

#include <concepts>
#include <filesystem>
#include <istream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lion/core/line_reader.hpp"

namespace lion::text {

/// Gives texts one after another: next() puts the next into its argument, or is false. Lines, Paragraphs, Files and
/// io::JsonLines are such.
template <class D>
concept DocumentSource = requires(D& documents, std::string& text) {
  { documents.next(text) } -> std::convertible_to<bool>;
};

namespace detail {
inline bool is_blank(const std::string& line) { return line.find_first_not_of(" \t\v\f\r") == std::string::npos; }
}  // namespace detail

/// Each line that is not blank is a document. Bytes are passed on as they are.
class Lines {
 public:
  /// Throws FileError, here and in next, that names the file (and the line).
  explicit Lines(const std::filesystem::path& path) : lines_("text", path) {}
  /// Reads on from where a stream stands; it must outlive the reader.
  Lines(std::istream& stream, std::string name) : lines_("text", stream, std::move(name)) {}

  bool next(std::string& text) {
    while (lines_.next(text)) {
      if (!detail::is_blank(text)) return true;
    }
    return false;
  }

 private:
  LineReader lines_;
};

/// Lines between blank ones are a document, joined by "\n".
class Paragraphs {
 public:
  explicit Paragraphs(const std::filesystem::path& path) : lines_("text", path) {}
  Paragraphs(std::istream& stream, std::string name) : lines_("text", stream, std::move(name)) {}

  bool next(std::string& text) {
    text.clear();
    while (lines_.next(line_)) {
      if (!detail::is_blank(line_)) {
        if (!text.empty()) text += '\n';
        text += line_;
      } else if (!text.empty()) {
        return true;
      }
    }
    return !text.empty();
  }

 private:
  LineReader lines_;
  std::string line_;
};

/// The documents of several files one after another, each file by a Reader of its own, opened when its turn comes:
///   text::Files<io::JsonLines> documents({"c4-train.00000-of-01024.json", "c4-train.00001-of-01024.json"});
template <DocumentSource Reader>
class Files {
 public:
  explicit Files(std::vector<std::filesystem::path> paths) : paths_(std::move(paths)) {}

  bool next(std::string& text) {
    for (;;) {
      if (reader_ && reader_->next(text)) return true;
      if (opened_ == paths_.size()) return false;
      reader_.emplace(paths_[opened_++]);
    }
  }

 private:
  std::vector<std::filesystem::path> paths_;
  std::size_t opened_ = 0;
  std::optional<Reader> reader_;
};

}  // namespace lion::text
