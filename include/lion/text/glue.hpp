#pragma once
/// GLUE's files.

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <istream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lion/core/glue_task.hpp"
#include "lion/core/line_reader.hpp"
#include "lion/core/message.hpp"

namespace lion::text {

struct GlueExample {
  std::string first, second;                                ///< second: empty where the task has one sentence
  Index label = -1;                                         ///< class, numbered as GlueTaskInfo::labels; -1: none
  double score = std::numeric_limits<double>::quiet_NaN();  ///< of STS-B, in [0, 5]; NaN: none
};

struct GlueData {
  std::vector<GlueExample> examples;  ///< in the file's order
  bool labelled = false;              ///< false for test files, which hold no labels
  Index skipped = 0;                  ///< rows left out, see GlueOptions
};

struct GlueOptions {
  /// Leaves out rows that have more or fewer columns than the header, and counts them, instead of refusing the file.
  /// QQP's published training file has some.
  bool skip_malformed_rows = false;
};

namespace detail {

/// The columns of a task's files; `index` and others that no model sees are not listed.
struct GlueColumns {
  std::string_view first, second, label;
};

inline GlueColumns glue_columns(GlueTask task) {
  using enum GlueTask;
  switch (task) {
    case kCola:
    case kSst2:
      return {"sentence", "", "label"};
    case kMrpc:
      return {"#1 String", "#2 String", "Quality"};
    case kQqp:
      return {"question1", "question2", "is_duplicate"};
    case kStsb:
      return {"sentence1", "sentence2", "score"};
    case kMnli:
      return {"sentence1", "sentence2", "gold_label"};
    case kQnli:
      return {"question", "sentence", "label"};
    case kRte:
    case kWnli:
      break;
  }
  return {"sentence1", "sentence2", "label"};
}

inline void split_columns(std::string_view line, std::vector<std::string_view>& columns) {
  columns.clear();
  for (;;) {
    const std::size_t tab = line.find('\t');
    columns.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return;
    line.remove_prefix(tab + 1);
  }
}

class GlueReader {
 public:
  GlueReader(LineReader lines, GlueTask task, const GlueOptions& options)
      : lines_(std::move(lines)), task_(glue_task(task)), names_(glue_columns(task)), options_(options) {}

  GlueData read() {
    GlueData data;
    std::string line;
    if (!lines_.next(line)) lines_.fail_file("is empty, expected " + std::string(task_.name) + "'s columns");
    if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // MRPC's files begin with a byte order mark
    split_columns(line, columns_);
    const bool has_header = read_header();
    data.labelled = label_.has_value();
    for (bool more = !has_header || lines_.next(line); more; more = lines_.next(line)) {
      split_columns(line, columns_);
      if (columns_.size() != count_) {
        if (!options_.skip_malformed_rows) {
          lines_.fail(std::to_string(columns_.size()) + " columns, expected " + std::to_string(count_));
        }
        ++data.skipped;
        continue;
      }
      GlueExample example;
      example.first = columns_[first_];
      if (task_.pair) example.second = columns_[second_];
      if (label_) read_label(example);
      data.examples.push_back(std::move(example));
    }
    return data;
  }

 private:
  /// Where the columns are, by their names. False if the first line is an example already.
  bool read_header() {
    count_ = columns_.size();
    const auto first = find(names_.first);
    if (task_.task == GlueTask::kCola && !first) {
      // No header in CoLA's labelled files: source, label, the authors' mark, sentence.
      count_ = 4;
      label_ = 1;
      first_ = 3;
      return false;
    }
    first_ = require(first, names_.first);
    if (task_.pair) second_ = require(find(names_.second), names_.second);
    label_ = find(names_.label);
    return true;
  }

  std::optional<std::size_t> find(std::string_view name) const {
    const auto found = std::ranges::find(columns_, name);
    return found == columns_.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - columns_.begin()));
  }

  std::size_t require(std::optional<std::size_t> column, std::string_view name) const {
    if (!column) lines_.fail("header has no column " + in_quotes(name) + ", which " + std::string(task_.name) + " has");
    return *column;
  }

  void read_label(GlueExample& example) const {
    const std::string_view text = columns_[*label_];
    const auto fail = [&](const std::string& expected) {
      lines_.fail("column " + std::to_string(*label_ + 1) + " (" + std::string(names_.label) + ") is " +
                  in_quotes(text) + ", expected " + expected);
    };
    if (task_.is_regression()) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), example.score);
      if (error != std::errc() || end != text.data() + text.size() || !(example.score >= 0 && example.score <= 5)) {
        fail("a number in [0, 5]");
      }
      return;
    }
    const auto found = std::ranges::find(task_.labels, text);
    if (found == task_.labels.end()) {
      std::string labels;
      for (const std::string_view label : task_.labels) labels += (labels.empty() ? "" : ", ") + std::string(label);
      fail("one of " + labels);
    }
    example.label = static_cast<Index>(found - task_.labels.begin());
  }

  LineReader lines_;
  const GlueTaskInfo& task_;
  GlueColumns names_;
  GlueOptions options_;
  std::vector<std::string_view> columns_;
  std::size_t count_ = 0, first_ = 0, second_ = 0;
  std::optional<std::size_t> label_;
};

}  // namespace detail

/// Reads a file of a task as GLUE publishes it: columns separated by tabs, no quoting, so a quotation mark is one;
/// found by the names in the first line (CoLA's labelled files have none: source, label, mark, sentence). Without a
/// column of labels it is a test file. Throws FileError that names the file, the line and the column.
inline GlueData load_glue(GlueTask task, const std::filesystem::path& path, const GlueOptions& options = {}) {
  return detail::GlueReader(LineReader("glue", path), task, options).read();
}

/// The same from a stream, which `name` stands for in messages.
inline GlueData read_glue(GlueTask task, std::istream& stream, std::string name, const GlueOptions& options = {}) {
  return detail::GlueReader(LineReader("glue", stream, std::move(name)), task, options).read();
}

}  // namespace lion::text
