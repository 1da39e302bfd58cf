// The operator on the GPU at hand, forward and backward, as a table in Markdown on standard output: 32768 tokens in
// sequences of L, 12 heads of D = E = 64, and softmax attention beside it, which has no backward there yet; backward
// with y and the row sums kept. Times are medians of runs of at least 20 ms. `of copy`: the time that copying as many
// bytes as the tensors have (forward q, k, v, y; backward those, dy, dq, dk and dv) would take, measured in the same
// run, over the time taken: 100 % is as quick as memory allows.

#include <algorithm>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include "lion/cuda.hpp"
#include "lion/nn/cuda/softmax_attention.hpp"

namespace {

using namespace lion;

constexpr Index kTokens = 32768;
constexpr Index kHeads = 12;
constexpr Index kWidth = 64;

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "bench_gpu: %s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

/// Elements in the device's memory.
template <class T>
class Buffer {
 public:
  explicit Buffer(Index size) : size_(size) {
    check(cudaMalloc(&data_, static_cast<std::size_t>(std::max<Index>(size, 1)) * sizeof(T)), "cudaMalloc");
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { (void)cudaFree(data_); }

  /// Numbers between low and high, the same every time.
  void fill(float low, float high) {
    std::vector<T> values(static_cast<std::size_t>(size_));
    unsigned state = 1;
    for (T& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<T>(low + (high - low) * static_cast<float>(state >> 8) * 0x1p-24f);
    }
    check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  Index size_;
};

/// Every call once and untimed, for a profiler.
bool once = false;

/// Milliseconds that f() keeps the default stream busy: median of five runs, each of as many calls as take 20 ms.
template <class F>
double milliseconds(F&& f) {
  if (once) {
    f();
    check(cudaDeviceSynchronize(), "the kernels");
    return 1;
  }
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  const auto run = [&](int calls) {
    check(cudaEventRecord(begin), "cudaEventRecord");
    for (int i = 0; i < calls; ++i) f();
    check(cudaEventRecord(end), "cudaEventRecord");
    check(cudaEventSynchronize(end), "the kernels");
    float elapsed = 0;
    check(cudaEventElapsedTime(&elapsed, begin, end), "cudaEventElapsedTime");
    return static_cast<double>(elapsed);
  };
  run(1);
  const int calls = static_cast<int>(std::clamp(20.0 / std::max(run(3) / 3, 1e-4) + 1, 1.0, 10000.0));
  double runs[5];
  for (double& each : runs) each = run(calls) / calls;
  std::sort(std::begin(runs), std::end(runs));
  check(cudaEventDestroy(begin), "cudaEventDestroy");
  check(cudaEventDestroy(end), "cudaEventDestroy");
  return runs[2];
}

template <class T>
class Bench {
 public:
  Bench()
      : q_(kSize),
        k_(kSize),
        v_(kSize),
        y_(kSize),
        dy_(kSize),
        dq_(kSize),
        dk_(kSize),
        dv_(kSize),
        per_head_(kHeads),
        per_token_(kTokens * kHeads),
        row_sum_(kTokens * kHeads),
        slopes_(kTokens * kHeads) {
    q_.fill(0, 1), k_.fill(0, 1), dy_.fill(-1, 1), per_head_.fill(-0.1f, 0), per_token_.fill(-0.5f, 0);
    // A copy reads and writes: q and k to v and y is the traffic of all four.
    copy_ = milliseconds([&] {
      check(cudaMemcpyAsync(v_.data(), q_.data(), kSize * sizeof(T), cudaMemcpyDeviceToDevice), "cudaMemcpyAsync");
      check(cudaMemcpyAsync(y_.data(), k_.data(), kSize * sizeof(T), cudaMemcpyDeviceToDevice), "cudaMemcpyAsync");
    });
    v_.fill(-1, 1);
  }

  void lengths() {
    for (const Index L : {Index(197), Index(512), Index(2048), Index(8192), kTokens}) {
      masks<form::Auto>(L);
      if (L <= 2048) masks<form::Full>(L);
      masks<form::Chunk>(L);
      if (L >= 2048) masks<form::Rnn>(L);
      softmax(L);
    }
  }

 private:
  static constexpr Index kSize = kTokens * kHeads * kWidth;

  template <class F>
  void masks(Index L) {
    [[maybe_unused]] const Index B = kTokens / L;
    one<mask::Decay, F>(L, {{per_head_.data(), {kHeads}}}, {{slopes_.data(), {kHeads}}});
    if constexpr (std::same_as<T, bfloat16>) {  // masks make the difference where memory does not
      one<mask::Linear, F>(L, {}, {});
      one<mask::Selective, F>(L, {{per_token_.data(), {B, kHeads, L}}}, {{slopes_.data(), {B, kHeads, L}}});
    }
  }

  void softmax(Index L) {
    const Shape<4> shape{kTokens / L, kHeads, L, kWidth};
    const auto view = [&](const Buffer<T>& buffer) { return View<T, 4>(buffer.data(), shape); };
    const double forward = milliseconds([&] {
      cuda::softmax_attention<T>(cuda::Stream{}, {view(q_), view(k_), view(v_)}, view(y_));
    });
    print_forward("softmax", "full", L, forward, 0);
    std::printf(" – | – | – |\n");
    std::fflush(stdout);
  }

  template <class M, class F>
  void one(Index L, const MaskParameters<M, T>& parameters, const MaskGradients<M, T>& slopes) {
    const Shape<4> shape{kTokens / L, kHeads, L, kWidth};
    const auto view = [&](const Buffer<T>& buffer) { return View<T, 4>(buffer.data(), shape); };
    const Attention<M, F, backend::Cuda> attention;
    const AttentionInputs<T> in{view(q_), view(k_), view(v_)};
    const View<accumulator_t<T>, 3> row_sum(row_sum_.data(), {shape[0], shape[1], shape[2]});
    const std::size_t bytes = attention.workspace_size(in),
                      backward_bytes = attention.backward_workspace_size(in, 1, true);
    const Buffer<std::byte> scratch(static_cast<Index>(std::max(bytes, backward_bytes)));
    Workspace workspace(scratch.data(), std::max(bytes, backward_bytes));
    const double forward = milliseconds([&] { attention.forward(in, parameters, {view(y_), row_sum}, workspace); });
    const double backward = milliseconds([&] {
      attention.backward(in, parameters, {view(dy_), view(y_), row_sum}, {view(dq_), view(dk_), view(dv_)}, slopes,
                         workspace);
    });
    print_forward(M::name, F::name, L, forward, bytes);
    std::printf(" %.3f | %.0f %% | %.1f |\n", backward, 200 * copy_ * share(L) / backward,
                static_cast<double>(backward_bytes) / (1 << 20));
    std::fflush(stdout);
  }

  /// Of all tokens: L may not divide them.
  static double share(Index L) { return static_cast<double>(kTokens / L * L) / static_cast<double>(kTokens); }

  void print_forward(std::string_view mask, std::string_view form, Index L, double forward, std::size_t bytes) const {
    std::printf("| %s | %s | %s | %td | %.3f | %.0f | %.0f %% | %.1f |", std::string(name_of<T>()).c_str(),
                std::string(mask).c_str(), std::string(form).c_str(), L, forward,
                static_cast<double>(kTokens) * share(L) / forward / 1000, 100 * copy_ * share(L) / forward,
                static_cast<double>(bytes) / (1 << 20));
  }

  Buffer<T> q_, k_, v_, y_, dy_, dq_, dk_, dv_;
  Buffer<accumulator_t<T>> per_head_, per_token_, row_sum_, slopes_;
  double copy_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  once = argc > 1 && std::string_view(argv[1]) == "--once";
  if (argc > 2 || (argc == 2 && !once)) {
    std::fprintf(stderr, "bench_gpu: takes nothing, or --once: every call once and untimed, for a profiler\n");
    return 2;
  }
  cudaDeviceProp gpu;
  check(cudaGetDeviceProperties(&gpu, 0), "no GPU");
  int runtime = 0;
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  std::printf("%s, %d multiprocessors, CUDA %d.%d: 32768 tokens in sequences of L, H = 12, D = E = 64\n\n", gpu.name,
              gpu.multiProcessorCount, runtime / 1000, runtime % 1000 / 10);
  std::printf(
      "| type | mask | form | L | forward, ms | Mtokens/s | of copy | scratch, MiB | backward, ms | of copy | scratch, "
      "MiB "
      "|\n|---|---|---|---|---|---|---|---|---|---|---|\n");
  Bench<bfloat16>().lengths();
  Bench<float>().lengths();
}
