#pragma once
/// Tables on a terminal.

#include <algorithm>
#include <cstdio>
#include <ostream>
#include <string>
#include <vector>

namespace lion::examples {

/// printf's formats for one number: format("%.2f", x).
template <class... Numbers>
std::string format(const char* pattern, Numbers... numbers) {
  const int length = std::snprintf(nullptr, 0, pattern, numbers...);
  std::string text(static_cast<std::size_t>(length), '\0');
  std::snprintf(text.data(), text.size() + 1, pattern, numbers...);
  return text;
}

/// "1.5 KiB", "64 B", "3.2 MiB".
inline std::string format_bytes(std::size_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  const double kilo = static_cast<double>(bytes) / 1024;
  return kilo < 1024 ? format("%.1f KiB", kilo) : format("%.1f MiB", kilo / 1024);
}

/// Rows of text under a header; the first column is set to the left, the others to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  void print(std::ostream& out) const {
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_) {
      for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
    }
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      std::string line;
      for (std::size_t c = 0; c < rows_[r].size(); ++c) {
        const std::string space(widths[c] - width(rows_[r][c]), ' ');
        line += (c ? "  " : "") + (c ? space + rows_[r][c] : rows_[r][c] + space);
      }
      out << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
      if (r == 0) {
        std::size_t total = 2 * (widths.size() - 1);
        for (std::size_t w : widths) total += w;
        out << std::string(total, '-') << '\n';
      }
    }
  }

 private:
  /// Characters, not bytes: the continuation bytes of UTF-8 are not counted.
  static std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
  }

  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lion::examples
