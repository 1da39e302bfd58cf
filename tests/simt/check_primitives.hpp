#pragma once
/// Each primitive of a device type against its definition: the same checks of the emulation and of a GPU. Everything
/// that kernels see is on the heap, where a GPU may see it too.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lion/core/scalar.hpp"
#include "simt/primitives.hpp"
#include "support/catch.hpp"

namespace lion::simt {

template <class T>
unsigned bits(T value) {
  return std::bit_cast<std::uint16_t>(value);
}

template <class Launcher>
void check_places(const Launcher& launcher) {
  std::vector<Index> out(2 * 3 * 4 * 64, -1);
  launcher.template launch<Places>("places", {2, 3, 4}, 0, {out.data(), 2, 3});
  for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(out[i] == static_cast<Index>(i % 64 / 32 * 1000 + i % 32));
}

template <class A, class Launcher>
void check_shuffles(const Launcher& launcher) {
  std::vector<A> out(3 * 5 * 64, static_cast<A>(-1));
  launcher.template launch<Shuffles<A>>("shuffles", {1, 1, 1}, 0, {out.data()});
  for (int i = 0; i < 5; ++i) {
    for (int t = 0; t < 64; ++t) {
      const int by = 1 << i;
      const int first = t / 32 * 32;
      const int lane = t % 32;
      const int from[] = {(by * lane + 3) % 32, lane - by < 0 ? lane : lane - by, lane ^ by};
      for (int kind = 0; kind < 3; ++kind) {
        REQUIRE(out[static_cast<std::size_t>((kind * 5 + i) * 64 + t)] == static_cast<A>(3 * (first + from[kind]) + 1));
      }
    }
  }
}

template <class T, class Launcher>
void check_product(const Launcher& launcher) {
  std::vector<T> a(256), b(128);
  std::vector<float> d(128);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<T>(static_cast<float>(i * 37 % 41) / 8 - 2);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<T>(static_cast<float>(i * 29 % 31) / 4 - 4);
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<float>(i);
  launcher.template launch<Product<T>>("product", {1, 1, 1}, Product<T>::kSharedBytes, {a.data(), b.data(), d.data()});
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      double sum = static_cast<double>(i * 8 + j);
      for (std::size_t k = 0; k < 16; ++k) {
        sum += static_cast<double>(static_cast<float>(a[i * 16 + k])) * static_cast<float>(b[k * 8 + j]);
      }
      REQUIRE(d[i * 8 + j] == static_cast<float>(sum));  // multiples of 1/32 below 2¹³: exact
    }
  }
}

template <bool transposed, std::size_t N, class Launcher>
void check_load(const Launcher& launcher) {
  const auto element = [](std::size_t m, std::size_t r, std::size_t c) {
    return bits(static_cast<half>(static_cast<float>(64 * m + 8 * r + c)));
  };
  std::vector<unsigned> out(32 * N);
  launcher.template launch<Load<transposed, N>>("load", {1, 1, 1}, Load<transposed, N>::kSharedBytes, {out.data()});
  for (std::size_t l = 0; l < 32; ++l) {
    for (std::size_t m = 0; m < N; ++m) {
      const std::size_t one = l / 4;
      const std::size_t two = 2 * (l % 4);
      const unsigned low = transposed ? element(m, two, one) : element(m, one, two);
      const unsigned high = transposed ? element(m, two + 1, one) : element(m, one, two + 1);
      REQUIRE(out[l * N + m] == (low | high << 16));
    }
  }
}

/// Whether every thread reads what it should.
template <class Launcher>
bool rotates(const Launcher& launcher, bool before, bool after) {
  std::vector<int> out(2 * Rotate::kThreads);
  launcher.template launch<Rotate>("rotate", {1, 1, 1}, Rotate::kSharedBytes, {before, after, out.data()});
  for (int i = 0; i < 2 * Rotate::kThreads; ++i) {
    if (out[static_cast<std::size_t>(i)] != i / 128 * 1000 + (i + 32) % 128) return false;
  }
  return true;
}

/// One and each half of a unit in the last place of T after it, and numbers of many sizes whose exponentials are
/// finite.
template <class T, class Launcher>
void check_values(const Launcher& launcher) {
  constexpr std::size_t n = Values<T>::kThreads;
  std::vector<float> in(n), wide(n), exp(n), erfc(n), log1p(n), sqrt(n), tanh(n), copied(n);
  std::vector<T> narrow(n);
  std::vector<unsigned> packed(n);
  const float unit = std::same_as<T, bfloat16> ? 0x1p-8f : 0x1p-11f;
  for (std::size_t i = 0; i < n; ++i) {
    const float x = static_cast<float>(i);
    in[i] = i < 8 ? 1 + x * unit : (i % 2 ? x : -x) * std::exp(x / 4 - 15.5f);
  }
  launcher.template launch<Values<T>>("values", {1, 1, 1}, Values<T>::kSharedBytes,
                                      {in.data(), narrow.data(), wide.data(), packed.data(), exp.data(), erfc.data(),
                                       log1p.data(), sqrt.data(), tanh.data(), copied.data()});
  for (std::size_t i = 0; i < n; ++i) {
    INFO("value " << i << ": " << in[i]);
    const T expected = static_cast<T>(in[i]);  // Eigen rounds to the nearest, ties to even
    if (i < 8) REQUIRE(static_cast<float>(narrow[i]) == 1 + unit * static_cast<float>((i + (i / 2) % 2) / 2 * 2));
    REQUIRE(bits(narrow[i]) == bits(expected));
    REQUIRE(wide[i] == static_cast<float>(expected));
    REQUIRE(packed[i] == (bits(expected) | bits(static_cast<T>(2 * in[i])) << 16));
    REQUIRE(std::abs(exp[i] - std::exp(static_cast<double>(in[i]))) <= 0x1p-22 * std::exp(static_cast<double>(in[i])));
    const double exact = in[i], size = std::abs(exact);
    REQUIRE(std::abs(erfc[i] - std::erfc(exact)) <= 0x1p-20 * std::erfc(exact) + 0x1p-126);
    REQUIRE(std::abs(log1p[i] - std::log1p(size)) <= 0x1p-22 * std::log1p(size));
    REQUIRE(std::abs(sqrt[i] - std::sqrt(size)) <= 0x1p-23 * std::sqrt(size));
    REQUIRE(std::abs(tanh[i] - std::tanh(exact)) <= 0x1p-21 * std::abs(std::tanh(exact)));
    REQUIRE(copied[i] == (i / 4 % 2 == 0 ? in[i] : 0));
  }
}

template <class Launcher>
void check_primitives(const Launcher& launcher) {
  check_places(launcher);
  check_shuffles<float>(launcher);
  check_shuffles<double>(launcher);
  check_shuffles<int>(launcher);
  check_shuffles<unsigned>(launcher);
  check_product<bfloat16>(launcher);
  check_product<half>(launcher);
  check_load<false, 4>(launcher);
  check_load<true, 4>(launcher);
  check_load<false, 2>(launcher);
  check_load<true, 2>(launcher);
  check_values<bfloat16>(launcher);
  check_values<half>(launcher);
  REQUIRE(rotates(launcher, true, true));
}

}  // namespace lion::simt
