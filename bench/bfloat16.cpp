/// How many times as fast the operator is on bfloat16 tensors as on float32 ones: 12 heads of width 64, one thread,
/// both types in turns; medians of the ratios with the quarters around them.
///
///   bench_bfloat16 [--samples N] [--only TEXT]     TEXT is part of mask/form/pass/L

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "operator_case.hpp"

namespace {

using namespace lion;

struct Options {
  std::string only;
  int samples = 11;
};

template <class M, class F>
void measure(const Options& options, const char* form_name, F form, bool backward, Index L) {
  const std::string name =
      std::string(M::name) + "/" + form_name + (backward ? "/backward/" : "/forward/") + std::to_string(L);
  if (name.find(options.only) == std::string::npos) return;
  bench::OperatorCase<M, F, float> wide(12, L, 64, form);
  bench::OperatorCase<M, F, bfloat16> narrow(12, L, 64, form);
  const auto run = [&](auto& operation) { backward ? operation.backward() : operation.forward(); };
  wide.forward(), narrow.forward(), run(wide), run(narrow);
  const int rounds = std::max(1, static_cast<int>(5e-3 / bench::seconds(1, [&] { run(wide); })));
  std::vector<double> ratios, times;
  for (int s = 0; s < options.samples; ++s) {
    const double of_wide = bench::seconds(rounds, [&] { run(wide); });
    const double of_narrow = bench::seconds(rounds, [&] { run(narrow); });
    ratios.push_back(of_wide / of_narrow);
    times.push_back(of_narrow * 1e6);
  }
  const bench::Spread ratio = bench::spread(ratios);
  std::printf("%-36s ×%.2f  (%.2f – %.2f)   bfloat16 %10.1f µs\n", name.c_str(), ratio.median, ratio.low, ratio.high,
              bench::spread(times).median);
  std::fflush(stdout);
}

template <class M>
void measure_mask(const Options& options) {
  for (const bool backward : {false, true}) {
    for (const Index L : {197, 1024, 6085}) {
      measure<M>(options, "chunk", form::Chunk{64}, backward, L);
      measure<M>(options, "chunk_128", form::Chunk{128}, backward, L);
      measure<M>(options, "auto", form::Auto{}, backward, L);
      if (L < 1000) measure<M>(options, "full", form::Full{}, backward, L);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("", "bench_bfloat16");
  app.add_option("--only", options.only, "cases with this in their name, as decay/chunk/forward/197");
  app.add_option("--samples", options.samples)->check(CLI::Range(1, 10000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  measure_mask<mask::Linear>(options);
  measure_mask<mask::Decay>(options);
  measure_mask<mask::Selective>(options);
}
