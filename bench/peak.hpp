#pragma once
/// The float32 peak of one core, by fused multiply-adds that stay in registers: what other figures are held against.

#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include "thread_time.hpp"

namespace lion::bench {

/// Runs `rounds` of 12 independent chains of fused multiply-adds on full vectors; returns operations (2 per entry). Not
/// inlined: where it was, some copies of the loop were a tenth slower than others, and flattered what was held against
/// them.
[[gnu::noinline]] inline double multiply_add_chains(std::size_t rounds) {
  using Packet = Eigen::internal::packet_traits<float>::type;
  constexpr std::size_t width = Eigen::internal::packet_traits<float>::size;
  using Eigen::internal::pmadd;
  const Packet factor = Eigen::internal::pset1<Packet>(0.999f), term = Eigen::internal::pset1<Packet>(1e-3f);
  float start = 0;  // chains that start alike would be merged into one
  const auto next = [&] { return Eigen::internal::pset1<Packet>(start += 1.0f); };
  Packet a = next(), b = next(), c = next(), d = next(), e = next(), f = next(), g = next(), h = next(), i = next(),
         j = next(), k = next(), l = next();
  for (std::size_t r = 0; r < rounds; ++r) {
    a = pmadd(a, factor, term), b = pmadd(b, factor, term), c = pmadd(c, factor, term), d = pmadd(d, factor, term);
    e = pmadd(e, factor, term), f = pmadd(f, factor, term), g = pmadd(g, factor, term), h = pmadd(h, factor, term);
    i = pmadd(i, factor, term), j = pmadd(j, factor, term), k = pmadd(k, factor, term), l = pmadd(l, factor, term);
  }
  for (Packet x : {a, b, c, d, e, f, g, h, i, j, k, l}) benchmark::DoNotOptimize(x);
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(width);
}

/// Floating-point operations per second, the best of a few short runs.
inline double measure_peak(int runs = 10) {
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    const double begin = thread_seconds();
    const double operations = multiply_add_chains(50'000);
    const double seconds = thread_seconds() - begin;
    best = operations / seconds > best ? operations / seconds : best;
  }
  return best;
}

}  // namespace lion::bench
