/// How many times as fast the operator is on two threads as on one, in turns, by wall time: one head of 65,536 tokens,
/// worked on in halves, and 12 heads of 6,085; width 64, float32, form::Auto. Medians of the ratios with the quarters
/// around them. On a machine that does nothing else.
///
///   bench_threads [--samples N]

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "operator_case.hpp"

namespace {

using namespace lion;

template <class Run>
double wall_seconds(Run&& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template <class M>
void measure(int samples, Index heads, Index L) {
  using Case = bench::OperatorCase<M, form::Auto>;
  Case one(heads, L, 64, {}, 1), two(heads, L, 64, {}, 2);
  for (const bool backward : {false, true}) {
    const auto run = [&](Case& operation) { backward ? operation.backward() : operation.forward(); };
    run(one), run(two);
    std::vector<double> ratios, seconds;
    for (int s = 0; s < samples; ++s) {
      seconds.push_back(wall_seconds([&] { run(one); }));
      ratios.push_back(seconds.back() / wall_seconds([&] { run(two); }));
    }
    const bench::Spread ratio = bench::spread(ratios);
    std::printf("%-10s %2td x %5td %-8s  one thread %8.2f ms   two x%.2f  (%.2f – %.2f)\n", M::name.data(), heads, L,
                backward ? "backward" : "forward", bench::spread(seconds).median * 1e3, ratio.median, ratio.low,
                ratio.high);
    std::fflush(stdout);
  }
}

template <class M>
void measure_mask(int samples) {
  measure<M>(samples, 1, 65536);
  measure<M>(samples, 12, 6085);
}

}  // namespace

int main(int argc, char** argv) {
  int samples = 15;
  CLI::App app("", "bench_threads");
  app.add_option("--samples", samples)->check(CLI::Range(1, 10000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  measure_mask<mask::Linear>(samples);
  measure_mask<mask::Decay>(samples);
  measure_mask<mask::Selective>(samples);
}
