/// form::Auto beside every other form, forward, one head on one thread: for each mask, width D = E and length, how much
/// longer it takes than the fastest. Samples are taken in turns; a form that is far behind is not sampled again. Where
/// Auto is not within 5 % up to four times as many are taken: machines are noisy.
///
///   bench_forms [--samples N] [--only MASK] [--width D] [--all]      --all: every form's time, not the summary alone

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lion/lion.hpp"
#include "operator_case.hpp"

namespace {

using namespace lion;

struct Options {
  std::string only;
  Index width = 0;
  int samples = 15;
  bool all = false;
};

struct Candidate {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds{};
  double least() const { return *std::min_element(seconds.begin(), seconds.end()); }
};

template <class M, class F>
Candidate candidate(const std::string& name, Index L, Index D, F form) {
  auto operation = std::make_shared<bench::OperatorCase<M, F>>(1, L, D, form);
  return {name, [operation] { operation->forward(); }};
}

/// The ratio of Auto's time to that of the fastest.
template <class M>
double measure(const Options& options, Index L, Index D) {
  const form::Plan plan = form::plan(form::Auto{}, M::decay, true, L, D, D);
  std::vector<Candidate> candidates{candidate<M>("auto", L, D, form::Auto{})};
  if (L <= 4096) candidates.push_back(candidate<M>("full", L, D, form::Full{}));
  for (const Index size : {16, 32, 48, 64, 96, 128}) {
    if (size < L) candidates.push_back(candidate<M>("chunk " + std::to_string(size), L, D, form::Chunk{size}));
    if (M::decay == mask::DecayKind::none) break;  // one state for all
  }
  candidates.push_back(candidate<M>("rnn", L, D, form::Rnn{}));
  double best = 0;
  std::vector<int> rounds;
  for (Candidate& c : candidates) {
    c.run();
    const double once = bench::seconds(1, c.run);
    c.seconds.push_back(once);
    best = best == 0 ? once : (std::min)(best, once);
    rounds.push_back((std::max)(1, static_cast<int>(5e-4 / once)));
  }
  const auto fastest = [&] {
    return std::min_element(candidates.begin(), candidates.end(),
                            [](const Candidate& a, const Candidate& b) { return a.least() < b.least(); });
  };
  const auto ratio = [&] { return candidates[0].least() / fastest()->least(); };
  for (int s = 0; s < options.samples || (s < 4 * options.samples && ratio() > 1.05); ++s) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (i > 0 && candidates[i].least() > 1.5 * best) continue;
      candidates[i].seconds.push_back(bench::seconds(rounds[i], candidates[i].run));
      best = (std::min)(best, candidates[i].least());
    }
  }
  std::printf("%-10s D %3td  L %5td  auto %8.1f us (%s)  x%.3f of %s\n", M::name.data(), D, L,
              candidates[0].least() * 1e6,
              plan.global ? "global" : ("chunk " + std::to_string((std::min)(plan.chunk, L))).c_str(), ratio(),
              fastest()->name.c_str());
  for (std::size_t i = 1; options.all && i < candidates.size(); ++i) {
    std::printf("    %-10s %8.1f us\n", candidates[i].name.c_str(), candidates[i].least() * 1e6);
  }
  std::fflush(stdout);
  return ratio();
}

template <class M>
void measure_mask(const Options& options, std::vector<double>& ratios) {
  if (std::string(M::name).find(options.only) == std::string::npos) return;
  for (const Index D : {16, 32, 64, 128}) {
    if (options.width > 0 && options.width != D) continue;
    for (const Index L : {16, 32, 64, 100, 128, 197, 256, 300, 400, 512, 1024, 2048, 4096, 16384, 65536}) {
      ratios.push_back(measure<M>(options, L, D));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("", "bench_forms");
  app.add_option("--only", options.only, "linear, decay or selective");
  app.add_option("--width", options.width, "of a head");
  app.add_option("--samples", options.samples)->check(CLI::Range(1, 10000))->capture_default_str();
  app.add_flag("--all", options.all, "every form's time");
  CLI11_PARSE(app, argc, argv);
  std::vector<double> ratios;
  measure_mask<mask::Linear>(options, ratios);
  measure_mask<mask::Decay>(options, ratios);
  measure_mask<mask::Selective>(options, ratios);
  if (ratios.empty()) {
    std::fprintf(stderr, "bench_forms: no mask and width are as asked for\n");
    return 1;
  }
  const auto within = std::count_if(ratios.begin(), ratios.end(), [](double r) { return r <= 1.05; });
  std::printf("within 5 %% of the fastest: %td of %zu; worst x%.3f\n", static_cast<Index>(within), ratios.size(),
              *std::max_element(ratios.begin(), ratios.end()));
}
