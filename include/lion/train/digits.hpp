#pragma once
/// The handwritten digits of the UCI repository (Alpaydin and Kaynak, 1998), from a text file.

#include <algorithm>
#include <charconv>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "lion/core/tensor.hpp"

namespace lion::train {

/// Images with their classes.
struct LabelledImages {
  std::vector<float> pixels;  ///< [N,1,8,8] row-major, in [0, 1]
  std::vector<Index> labels;  ///< [N]

  Index size() const { return static_cast<Index>(labels.size()); }
};

/// Both parts of the data and the number of classes in them.
struct DigitsData {
  static constexpr Index side = 8;
  LabelledImages train, test;
  Index classes = 0;  ///< one more than the largest label
};

/// Reads lines of 64 integers in [0, 16], row-major pixels of an 8×8 image, and then the label (a digit, so below 10),
/// separated by commas. Lines whose index from 0 is divisible by 5 are the test set. Throws FileError that names the
/// file and the line.
inline DigitsData load_digits(const std::string& path) {
  constexpr Index kPixels = DigitsData::side * DigitsData::side;
  std::ifstream file(path);
  if (!file) throw FileError("load_digits: cannot open " + path);

  DigitsData data;
  std::string line;
  Index index = 0;
  for (; std::getline(file, line); ++index) {
    const auto fail = [&](const std::string& what) {
      throw FileError("load_digits: " + path + " line " + std::to_string(index + 1) + ": " + what);
    };
    if (!line.empty() && line.back() == '\r') line.pop_back();
    LabelledImages& part = index % 5 == 0 ? data.test : data.train;
    const char* at = line.data();
    const char* const end = at + line.size();
    for (Index column = 0; column <= kPixels; ++column) {
      if (column > 0) {
        if (at == end) fail(std::to_string(column) + " values, expected 65");
        if (*at++ != ',') fail("value " + std::to_string(column) + " is no whole number");
      }
      int value = 0;
      const auto [next, error] = std::from_chars(at, end, value);
      if (error != std::errc()) fail("value " + std::to_string(column + 1) + " is no whole number");
      at = next;
      const int limit = column < kPixels ? 16 : 9;
      if (value < 0 || value > limit) {
        fail((column < kPixels ? "pixel " + std::to_string(column + 1) : std::string("label")) + " is " +
             std::to_string(value) + ", expected a value in [0, " + std::to_string(limit) + "]");
      }
      if (column < kPixels) {
        part.pixels.push_back(static_cast<float>(value) / 16);
      } else {
        part.labels.push_back(value);
        data.classes = (std::max)(data.classes, static_cast<Index>(value) + 1);
      }
    }
    if (at != end) fail(*at == ',' ? "more than 65 values" : "value 65 is no whole number");
  }
  if (file.bad()) throw FileError("load_digits: cannot read " + path);
  if (data.train.size() == 0)
    throw FileError("load_digits: " + path + ": " + std::to_string(index) + " lines, expected at least 2");
  return data;
}

}  // namespace lion::train
