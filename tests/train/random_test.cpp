#include "lion/train/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "support/catch.hpp"

using lion::Index;
using lion::train::Random;

TEST_CASE("Random is SplitMix64") {
  Random random(0);  // the sequence that its authors' own code gives for seed 0
  REQUIRE(random.bits() == 0xe220a8397b1dcdafu);
  REQUIRE(random.bits() == 0x6e789e6aa1b965f4u);
  REQUIRE(random.bits() == 0x06c45d188009454fu);
}

TEST_CASE("streams and seeds of Random differ, and a draw depends on its number alone") {
  Random first(7, 1);
  REQUIRE(first.bits() == 0x1c23fd5c35047d18u);
  REQUIRE(Random(7, 2).bits() != 0x1c23fd5c35047d18u);
  REQUIRE(Random(8, 1).bits() != 0x1c23fd5c35047d18u);
  Random again(7, 1);
  again.seek(first.drawn());
  REQUIRE(again.bits() == 0xaabd2940d349afd3u);
}

TEST_CASE("uniform takes the upper 53 bits") {
  REQUIRE(Random(0).uniform() == static_cast<double>(0xe220a8397b1dcdafu >> 11) / 9007199254740992.0);
}

TEST_CASE("normal is standard and truncated_normal ends at two deviations") {
  Random random(3);
  constexpr int n = 20000;
  double sum = 0, squares = 0, fourth = 0, largest = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    largest = std::max(largest, std::abs(random.truncated_normal(0.5)));
  }
  REQUIRE(std::abs(sum / n) < 4 / std::sqrt(n));
  REQUIRE(std::abs(squares / n - 1) < 4 * std::sqrt(2.0 / n));
  REQUIRE(std::abs(fourth / n - 3) < 4 * std::sqrt(96.0 / n));
  REQUIRE(largest <= 1.0);
  REQUIRE(largest > 0.95);
}

TEST_CASE("below reaches every value about equally often") {
  Random random(5);
  std::array<int, 7> seen{};
  for (int i = 0; i < 70000; ++i) ++seen[static_cast<std::size_t>(random.below(7))];
  for (int n : seen) REQUIRE(std::abs(n - 10000) < 400);  // about four deviations
  REQUIRE(random.below(1) == 0);
}

TEST_CASE("shuffle gives each permutation about equally often") {
  Random random(9);
  std::array<int, 6> seen{};
  for (int i = 0; i < 6000; ++i) {
    std::array<int, 3> p{0, 1, 2};
    random.shuffle(std::span<int>(p));
    auto sorted = p;
    std::sort(sorted.begin(), sorted.end());
    REQUIRE(sorted == std::array<int, 3>{0, 1, 2});
    ++seen[static_cast<std::size_t>(p[0] * 2 + (p[1] > p[2]))];
  }
  for (int n : seen) REQUIRE(std::abs(n - 1000) < 130);
}
