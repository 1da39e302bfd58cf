/// The operator at D = E = 64: mask/form/direction/L, forward; `/gradient` for backward. Counters: `flops` per second
/// with the operations of math.md §3 counted at the chunk that is used, `of_peak` against the register peak measured in
/// this run, `scratch` in bytes.

#include <benchmark/benchmark.h>

#include "lion/lion.hpp"
#include "operator_case.hpp"
#include "peak.hpp"

namespace {

using namespace lion;

constexpr Index kWidth = 64;

template <class M, class F, class Dir>
void run(benchmark::State& state, bool backward, Index heads, Index threads, Index chunk) {
  const Index L = state.range(0);
  bench::Data<float> data(heads, L, kWidth);
  Attention<M, F, backend::Cpu, normalise::RowSum, Dir> attention;
  if constexpr (std::same_as<F, form::Chunk>) attention.form.size = chunk;
  ThreadPool pool(threads);
  const AttentionInputs<float> in{data.q, data.k, data.v};
  Workspace workspace;
  attention.forward(in, bench::parameters(data, M{}), {data.y, data.row_sum}, workspace, pool);
  for (auto _ : state) {
    if (backward) {
      attention.backward(in, bench::parameters(data, M{}), {data.dy, data.y, data.row_sum}, {data.dq, data.dk, data.dv},
                         bench::gradients(data, M{}), workspace, pool);
    } else {
      attention.forward(in, bench::parameters(data, M{}), {data.y}, workspace, pool);
    }
    benchmark::ClobberMemory();
  }
  static const double peak = bench::measure_peak();
  const form::Plan plan = form::plan(attention.form, M::decay, Dir::past && Dir::future, L, kWidth, kWidth);
  const double work =
      static_cast<double>(heads) * bench::operations(plan, Dir::past && Dir::future, L, kWidth, backward);
  const double total = work * static_cast<double>(state.iterations());
  state.counters["flops"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_peak"] =
      benchmark::Counter(total / (peak * static_cast<double>(threads)), benchmark::Counter::kIsRate);
  state.counters["scratch"] = static_cast<double>(backward ? attention.backward_workspace_size(in, pool, 1, true)
                                                           : attention.workspace_size(in, pool));
}

template <class M, class F, class Dir>
void register_one(const std::vector<std::int64_t>& lengths, bool backward, Index heads = 1, Index threads = 1,
                  Index chunk = 64) {
  std::string name = std::string(M::name) + "/" + std::string(F::name);
  if (chunk != 64) name += "_" + std::to_string(chunk);
  name += "/" + std::string(Dir::name) + (backward ? "/gradient" : "");
  if (heads > 1) name += "/heads_" + std::to_string(heads) + "/threads_" + std::to_string(threads);
  auto* bench = benchmark::RegisterBenchmark(
      name.c_str(), [=](benchmark::State& state) { run<M, F, Dir>(state, backward, heads, threads, chunk); });
  for (std::int64_t L : lengths) bench->Arg(L);
  bench->UseRealTime()->Unit(benchmark::kMicrosecond);
}

template <class M>
void register_mask() {
  const std::vector<std::int64_t> lengths{64, 128, 197, 256, 512, 1024, 2048};
  std::vector<std::int64_t> longer = lengths;
  for (std::int64_t L : {4096, 6085, 16384, 65536}) longer.push_back(L);
  for (const bool backward : {false, true}) {
    register_one<M, form::Full, direction::Both>(lengths, backward);
    register_one<M, form::Rnn, direction::Both>(longer, backward);
    register_one<M, form::Chunk, direction::Both>(longer, backward);
    register_one<M, form::Auto, direction::Both>(longer, backward);
  }
  register_one<M, form::Chunk, direction::Forward>({1024, 6085}, false);
  register_one<M, form::Chunk, direction::Both>({1024, 6085}, false, 1, 1, 128);
  for (const Index threads : {1, 2}) register_one<M, form::Chunk, direction::Both>({1024, 6085}, false, 12, threads);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  register_mask<mask::Linear>();
  register_mask<mask::Decay>();
  register_mask<mask::Selective>();
  benchmark::AddCustomContext("register_peak_gflops", std::to_string(bench::measure_peak() * 1e-9));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
