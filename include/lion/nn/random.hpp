#pragma once
/// Random numbers by place: a function of seed, stream and index, so any thread may draw any of them.

#include <cmath>
#include <cstdint>

#include "lion/core/scalar.hpp"

namespace lion::nn {

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) as a hash of a counter. Not for cryptography.
class PlacedRandom {
 public:
  constexpr PlacedRandom(std::uint64_t seed, std::uint64_t stream) : key_(mix(mix(seed) + kStep * (stream + 1))) {}

  constexpr std::uint64_t bits(std::uint64_t i) const { return mix(key_ + kStep * (i + 1)); }

  /// In [0, 1), a multiple of 2^-53.
  constexpr double uniform(std::uint64_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1p-53; }

  /// Another stream, of its own for each `i`.
  constexpr PlacedRandom stream(std::uint64_t i) const { return PlacedRandom(key_, i); }

 private:
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;

  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  std::uint64_t key_;
};

}  // namespace lion::nn
