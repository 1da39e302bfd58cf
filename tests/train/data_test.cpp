#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "lion/train/batches.hpp"
#include "lion/train/digits.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::ArgumentError;
using lion::FileError;
using lion::Index;
using namespace lion::train;

namespace {

/// A line whose first pixel is `first`, the other 63 are 0, and whose label is `label`.
std::string line_of(int first, int label) {
  std::string text = std::to_string(first);
  for (int i = 0; i < 63; ++i) text += ",0";
  return text + "," + std::to_string(label);
}

const std::string kPath = "train-digits-test.csv";  // in the build tree, where tests run

void write(const std::string& text) { std::ofstream(kPath) << text; }

void require_refused(const std::string& text, const std::string& message) {
  write(text);
  require_error<FileError>([] { load_digits(kPath); }, "load_digits: " + kPath + message);
}

}  // namespace

TEST_CASE("load_digits splits by line and scales to [0, 1]") {
  std::string text;
  for (int i = 0; i < 7; ++i) text += line_of(2 * i, i % 3) + (i == 3 ? "\r\n" : "\n");
  write(text);
  const DigitsData data = load_digits(kPath);
  REQUIRE(data.test.labels == std::vector<Index>{0, 2});
  REQUIRE(data.train.labels == std::vector<Index>{1, 2, 0, 1, 0});
  REQUIRE(data.classes == 3);
  REQUIRE(data.test.pixels.size() == 2 * 64);
  REQUIRE(data.test.pixels[64] == 10.0f / 16);
  REQUIRE(data.train.pixels[4 * 64] == 12.0f / 16);
  REQUIRE(data.train.pixels[1] == 0);
}

TEST_CASE("load_digits names the file and the line") {
  std::filesystem::remove(kPath);
  require_error<FileError>([] { load_digits(kPath); }, "load_digits: cannot open " + kPath);
  require_refused("", ": 0 lines, expected at least 2");
  require_refused(line_of(17, 0), " line 1: pixel 1 is 17, expected a value in [0, 16]");
  require_refused(line_of(-1, 0), " line 1: pixel 1 is -1, expected a value in [0, 16]");
  require_refused(line_of(1, 0) + "\n" + line_of(1, 10), " line 2: label is 10, expected a value in [0, 9]");
  require_refused(line_of(1, 0) + "\n1,2,3", " line 2: 3 values, expected 65");
  require_refused(line_of(1, 0) + "\n\n" + line_of(1, 0), " line 2: value 1 is no whole number");
  require_refused("pixel" + line_of(1, 0), " line 1: value 1 is no whole number");
  require_refused("1.5" + line_of(1, 0).substr(1), " line 1: value 1 is no whole number");
  require_refused(line_of(1, 0) + ",4", " line 1: more than 65 values");
  require_refused(line_of(1, 0) + "x", " line 1: value 65 is no whole number");
  require_refused("99999999999" + line_of(1, 0), " line 1: value 1 is no whole number");
  std::filesystem::remove(kPath);
}

TEST_CASE("Batches shows every row at most once in a pass and shuffles each pass anew") {
  Batches batches(10, 3, 42);
  REQUIRE(batches.per_epoch() == 3);
  std::vector<std::vector<Index>> passes;
  for (Index epoch = 0; epoch < 3; ++epoch) {
    std::vector<Index>& seen = passes.emplace_back();
    for (Index i = 0; i < 3; ++i) {
      const auto rows = batches.rows(epoch * 3 + i);
      REQUIRE(rows.size() == 3);
      seen.insert(seen.end(), rows.begin(), rows.end());
    }
    REQUIRE(std::set<Index>(seen.begin(), seen.end()).size() == 9);
    REQUIRE(*std::max_element(seen.begin(), seen.end()) < 10);
  }
  REQUIRE(passes[0] != passes[1]);
  REQUIRE(passes[1] != passes[2]);

  Batches resumed(10, 3, 42);  // at a step in the middle
  const auto rows = resumed.rows(7);
  REQUIRE(std::equal(rows.begin(), rows.end(), passes[2].begin() + 3));
  Batches reseeded(10, 9, 43);
  const auto other = reseeded.rows(0);
  REQUIRE(!std::equal(other.begin(), other.end(), passes[0].begin()));
  require_error<ArgumentError>([] { Batches(10, 11, 0); }, "Batches: batch is 11, expected a value in [1, 10]");
  require_error<ArgumentError>([] { Batches(10, 0, 0); }, "Batches: batch is 0, expected a value in [1, 10]");
}
