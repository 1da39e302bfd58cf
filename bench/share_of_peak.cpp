/// The operator's share of the float32 peak of one core: one head, D = E = 64, forms chunk and full, forward and
/// backward, for each mask. Operations are counted as in math.md §3. The peak is measured next
/// to every sample, so that a slow moment of the machine slows both; a figure is the median of the ratios.
///
///   share_of_peak [--json FILE] [--machine TEXT] [--samples N] [--only TEXT]

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "lion/lion.hpp"
#include "operator_case.hpp"
#include "peak.hpp"

namespace {

using namespace lion;

struct Row {
  std::string name;
  Index L;
  bench::Spread share;
  double microseconds;
};

struct Options {
  std::string json, machine, only;
  int samples = 15;
};

template <class M, class F>
void measure(const Options& options, bool backward, Index L, std::vector<Row>& rows) {
  const std::string name = std::string(M::name) + "/" + std::string(F::name) + (backward ? "/backward" : "/forward");
  if (name.find(options.only) == std::string::npos) return;
  bench::OperatorCase<M, F> operation(1, L);
  const auto run = [&] { backward ? operation.backward() : operation.forward(); };
  operation.forward(), run();
  const double work = operation.operations(backward);
  // Samples of about a millisecond: long against the clock, short against the turns of a busy machine.
  const int rounds = std::max(1, static_cast<int>(1e-3 / bench::seconds(1, run)));
  std::vector<double> shares, times;
  for (int s = 0; s < options.samples; ++s) {
    const double peak = bench::measure_peak(3);
    const double time = bench::seconds(rounds, run);
    shares.push_back(work / time / std::max(peak, bench::measure_peak(3)));
    times.push_back(time * 1e6);
  }
  rows.push_back({name, L, bench::spread(shares), bench::spread(times).median});
  std::printf("%-28s L = %5td   %.3f of peak  (%.3f – %.3f)   %10.1f µs\n", name.c_str(), L, rows.back().share.median,
              rows.back().share.low, rows.back().share.high, rows.back().microseconds);
  std::fflush(stdout);
}

template <class M>
void measure_mask(const Options& options, std::vector<Row>& rows) {
  for (const bool backward : {false, true}) {
    for (const Index L : {197, 256, 512, 1024, 2048, 6085}) measure<M, form::Chunk>(options, backward, L, rows);
    // The full form skips what a decay hides, so that beyond some hundreds of tokens its operations are not these.
    for (const Index L : {197, 256, 512, 1024, 2048}) {
      if (M::decay == mask::DecayKind::none || L <= 256) measure<M, form::Full>(options, backward, L, rows);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("", "share_of_peak");
  app.add_option("--json", options.json, "where to write the figures, too");
  app.add_option("--machine", options.machine, "what it says of the machine");
  app.add_option("--only", options.only, "cases with this in their name, as linear/chunk/forward");
  app.add_option("--samples", options.samples)->check(CLI::Range(1, 10000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const double peak = bench::measure_peak(100);
  std::printf("register peak: %.1f GFLOP/s, vectors of %td bytes\n", peak * 1e-9, cpu::kVectorBytes);
  std::vector<Row> rows;
  measure_mask<mask::Linear>(options, rows);
  measure_mask<mask::Decay>(options, rows);
  measure_mask<mask::Selective>(options, rows);
  if (options.json.empty()) return 0;
  std::FILE* file = std::fopen(options.json.c_str(), "w");
  if (!file) return std::perror(options.json.c_str()), 1;
  std::fprintf(file, "{\n  \"machine\": \"%s\",\n  \"compiler\": \"%s\",\n", options.machine.c_str(), __VERSION__);
  std::fprintf(file, "  \"peak_gflops\": %.1f,\n  \"vector_bytes\": %td,\n  \"rows\": [\n", peak * 1e-9,
               cpu::kVectorBytes);
  for (const Row& row : rows) {
    std::fprintf(file, "    {\"case\": \"%s\", \"length\": %td, \"share\": %.3f, \"low\": %.3f, \"high\": %.3f, ",
                 row.name.c_str(), row.L, row.share.median, row.share.low, row.share.high);
    std::fprintf(file, "\"microseconds\": %.1f}%s\n", row.microseconds, &row == &rows.back() ? "" : ",");
  }
  std::fprintf(file, "  ]\n}\n");
  return std::fclose(file);
}
