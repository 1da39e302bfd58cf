#include "lion/train/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "support/catch.hpp"

using lion::Index;
using lion::train::Random;

TEST_CASE("Random draws the bits that SplitMix64 gives, on every platform") {
  Random random(7, 1);
  for (std::uint64_t expected : {0xc705a1c7e189424au, 0xe8d3ba7cd4091dd6u, 0x7b647f5fbb0980ebu})
    REQUIRE(random.bits() == expected);
}

TEST_CASE("streams and seeds of Random differ, and a draw depends on its number alone") {
  REQUIRE(Random(7, 2).bits() != 0xc705a1c7e189424au);
  REQUIRE(Random(8, 1).bits() != 0xc705a1c7e189424au);
  Random first(7, 1);
  first.bits();
  Random again(7, 1);
  again.seek(first.drawn());
  REQUIRE(again.bits() == 0xe8d3ba7cd4091dd6u);
}

TEST_CASE("uniform takes the upper 53 bits") {
  REQUIRE(Random(7, 1).uniform() == static_cast<double>(0xc705a1c7e189424au >> 11) / 9007199254740992.0);
}

TEST_CASE("normal is standard") {
  Random random(3);
  constexpr int n = 20000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  REQUIRE(std::abs(sum / n) < 4 / std::sqrt(n));
  REQUIRE(std::abs(squares / n - 1) < 4 * std::sqrt(2.0 / n));
  REQUIRE(std::abs(fourth / n - 3) < 4 * std::sqrt(96.0 / n));
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
