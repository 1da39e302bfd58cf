#pragma once
/// Random numbers that are the same everywhere: nothing here is taken from the standard library's distributions, whose
/// results differ between implementations.

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>

#include "lion/nn/random.hpp"

namespace lion::train {

/// Streams are numbered by epochs and steps, which are below this; from here on they are for other uses of a run's
/// seed.
inline constexpr std::uint64_t kOtherStreams = std::uint64_t{1} << 63;

/// Draws in a row from nn::PlacedRandom: the i-th is a function of seed, stream and i alone, so that the state to save
/// is the number of draws. Not for cryptography.
class Random {
 public:
  /// Different streams of one seed are independent: one for the order of the data, one for noise, …
  explicit Random(std::uint64_t seed = 0, std::uint64_t stream = 0) : random_(seed, stream) {}

  /// 64 random bits.
  std::uint64_t bits() { return random_.bits(drawn_++); }

  /// In [0, 1), a multiple of 2^-53: the same bits on every platform.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  /// Standard normal by Box and Muller, two draws each (the last digit is the math library's).
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));  // 1 - u is in (0, 1]
    return radius * std::cos(2 * std::numbers::pi * uniform());
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
  nn::PlacedRandom random_;
  std::uint64_t drawn_ = 0;
};

}  // namespace lion::train
