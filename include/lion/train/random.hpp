#pragma once
/// Random numbers that are the same everywhere: nothing here is taken from the standard library's distributions, whose
/// results differ between implementations.

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>

#include "lion/core/scalar.hpp"

namespace lion::train {

/// A counter-based generator (SplitMix64: Steele, Lea, Flood, OOPSLA 2014): the i-th draw is a function of seed, stream
/// and i alone, and the state is two numbers that can be saved. Not for cryptography.
class Random {
 public:
  /// Different streams of one seed are independent: one for the weights, one for the order of the data, …
  explicit Random(std::uint64_t seed = 0, std::uint64_t stream = 0) : key_(mix(mix(seed) ^ (stream * kOdd))) {}

  /// 64 random bits.
  std::uint64_t bits() { return mix(key_ + kStep * ++drawn_); }

  /// In [0, 1), a multiple of 2^-53: the same bits on every platform.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  /// Standard normal by Box and Muller, two draws each (the last digit is the math library's).
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));  // 1 - u is in (0, 1]
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

  /// Normal with this deviation, cut at ±2 deviations: what ViT weights start from.
  double truncated_normal(double deviation) {
    for (;;) {
      if (const double x = normal(); std::abs(x) <= 2) return deviation * x;
    }
  }

  /// In [0, n), each alike; n ≥ 1.
  Index below(Index n) {
    const auto range = static_cast<std::uint64_t>(n);
    const std::uint64_t reject = (0 - range) % range;  // 2^64 mod n: draws below it would favour small results
    for (;;) {
      if (const std::uint64_t draw = bits(); draw >= reject) return static_cast<Index>(draw % range);
    }
  }

  /// Every permutation alike (Fisher and Yates).
  template <class T>
  void shuffle(std::span<T> values) {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[static_cast<std::size_t>(below(static_cast<Index>(i)))]);
    }
  }

  /// How many draws were taken; a generator of the same seed and stream goes on from there after `seek`.
  std::uint64_t drawn() const { return drawn_; }
  void seek(std::uint64_t drawn) { drawn_ = drawn; }

 private:
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;
  static constexpr std::uint64_t kOdd = 0xd1342543de82ef95;

  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  std::uint64_t key_;
  std::uint64_t drawn_ = 0;
};

}  // namespace lion::train
