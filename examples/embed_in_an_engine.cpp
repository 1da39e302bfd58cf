/// How an inference engine takes lion in: its own memory, its own threads, and no allocation once it runs.
///
/// The engine here attends to frame after frame of tokens. All memory comes from an arena that is sized once, at
/// start-up; the threads are the engine's; q, k and v lie in one fused buffer as a projection leaves them. Every
/// allocation of the process is counted, Eigen's included, and the program fails if there is one after start-up.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

// Eigen takes memory from malloc, not from operator new: it is asked to say so.
static std::atomic<long> allocations{0};
#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(condition) ((condition) ? void() : void(++allocations))

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "lion/cpu/attention.hpp"
#include "lion/feature/normalised_shifted_silu.hpp"
#include "lion/mask/selective.hpp"

void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size ? size : 1)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto a = static_cast<std::size_t>(alignment);
  if (void* p = std::aligned_alloc(a, (size + a - 1) / a * a)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace {

/// The engine's threads: a fixed crew that all work on one job at a time.
class Crew {
 public:
  explicit Crew(int helpers) {
    for (int i = 0; i < helpers; ++i) helpers_.emplace_back([this] { help(); });
  }
  ~Crew() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    begin_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }

  int heads() const { return static_cast<int>(helpers_.size()) + 1; }

  /// Calls job(context, i) for i < n and returns when all are done.
  void work_on(long n, void (*job)(void*, long), void* context) {
    {
      std::lock_guard lock(mutex_);
      job_ = job;
      context_ = context;
      n_ = n;
      next_ = 0;
      working_ = static_cast<int>(helpers_.size());
      ++round_;
    }
    begin_.notify_all();
    for (long i = next_++; i < n; i = next_++) job(context, i);
    std::unique_lock lock(mutex_);
    end_.wait(lock, [this] { return working_ == 0; });
  }

 private:
  void help() {
    for (long seen = 0;;) {
      std::unique_lock lock(mutex_);
      begin_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      lock.unlock();
      for (long i = next_++; i < n_; i = next_++) job_(context_, i);
      lock.lock();
      if (--working_ == 0) end_.notify_one();
    }
  }

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable begin_, end_;
  void (*job_)(void*, long) = nullptr;
  void* context_ = nullptr;
  long n_ = 0, round_ = 0;
  std::atomic<long> next_{0};
  int working_ = 0;
  bool stop_ = false;
};

/// The adapter: lion asks for these two functions and no more.
struct CrewForLion {
  Crew& crew;
  lion::Index concurrency() const { return crew.heads(); }
  template <class F>
  void parallel_for(lion::Index n, F&& f) {
    crew.work_on(
        n, [](void* body, long i) { (*static_cast<std::remove_reference_t<F>*>(body))(i); }, &f);
  }
};

/// The engine's memory: one block, handed out from the front.
class EngineArena {
 public:
  explicit EngineArena(std::size_t size) : block_(size + 64) {}
  void* take(std::size_t size) {
    used_ = (used_ + 63) / 64 * 64;
    void* piece = block_.data() + used_;
    used_ += size;
    if (used_ > block_.size()) std::abort();
    return piece;
  }
  template <class T>
  T* take_array(lion::Index n) {
    return static_cast<T*>(take(sizeof(T) * static_cast<std::size_t>(n)));
  }

 private:
  std::vector<std::byte> block_;
  std::size_t used_ = 0;
};

constexpr lion::Index B = 1, H = 3, L = 197, D = 64, C = H * D;
constexpr int kFrames = 50;

int run() {
  // Start-up: everything that takes memory or threads.
  Crew crew(1);
  CrewForLion executor{crew};
  lion::Attention<lion::mask::Selective> attention;  // form Auto, on the CPU, rows divided by their sum

  const auto part_of = [](float* fused, lion::Index which) {  // [B,L,3,H,D] seen as [B,H,L,D]
    return lion::View<float, 4>(fused ? fused + which * C : nullptr, {B, H, L, D}, {L * 3 * C, D, 3 * C, 1});
  };
  const auto inputs_in = [&](float* fused) {
    return lion::AttentionInputs<float>{part_of(fused, 0), part_of(fused, 1), part_of(fused, 2)};
  };
  const std::size_t scratch = attention.workspace_size(inputs_in(nullptr), executor);
  EngineArena arena(sizeof(float) * static_cast<std::size_t>(B * L * (4 * C + H)) + scratch + 4 * 64);
  float* fused = arena.take_array<float>(B * L * 3 * C);   // [B,L,3,H,D]
  float* attended = arena.take_array<float>(B * L * C);    // [B,L,H,D]
  float* log_lambda = arena.take_array<float>(B * H * L);  // [B,H,L]
  lion::Workspace workspace(arena.take(scratch), scratch);

  // The loop: a frame comes, its tokens see one another, and the mean of the result goes out.
  const lion::AttentionInputs<float> inputs = inputs_in(fused);
  const lion::View<float, 4> y(attended, {B, H, L, D}, {L * C, D, C, 1});
  double mean = 0;
  const long before = allocations;
  Eigen::internal::set_is_malloc_allowed(false);
  const auto start = std::chrono::steady_clock::now();
  for (int frame = 0; frame < kFrames; ++frame) {
    for (lion::Index i = 0; i < B * L * 3 * C; ++i) fused[i] = std::sin(0.01f * static_cast<float>(i % 9973 + frame));
    for (lion::Index i = 0; i < B * H * L; ++i) log_lambda[i] = -0.05f * static_cast<float>(i % 7);
    for (lion::Index t = 0; t < B * L;
         ++t) {  // q and k are the first two thirds of a token's row, a head has D entries
      for (lion::Index h = 0; h < 2 * H; ++h) {
        float* row = fused + t * 3 * C + h * D;
        lion::feature::NormalisedShiftedSilu::forward(row, row, D);
      }
    }
    attention.forward(inputs, {{log_lambda, {B, H, L}}}, {y}, workspace, executor);
    double sum = 0;
    for (lion::Index i = 0; i < B * L * C; ++i) sum += static_cast<double>(attended[i]);
    mean += sum / static_cast<double>(B * L * C) / kFrames;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Eigen::internal::set_is_malloc_allowed(true);
  const long during = allocations - before;

  std::printf("%d frames of %ld tokens, %ld heads of width %ld: %.2f ms per frame, mean output %.6f\n", kFrames,
              static_cast<long>(L), static_cast<long>(H), static_cast<long>(D), 1e3 * seconds / kFrames, mean);
  std::printf("scratch %zu bytes, %ld allocations after start-up\n", scratch, during);
  if (during == 0 && std::isfinite(mean)) return 0;
  std::fprintf(stderr, "embed_in_an_engine: %ld allocations after start-up, expected none\n", during);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::puts(
        "embed_in_an_engine: attends to frames with an engine's own memory and threads, and fails if anything is\n"
        "allocated after start-up. Takes no arguments.");
    return 0;
  }
  if (argc > 1) {
    std::fprintf(stderr, "embed_in_an_engine: unexpected argument %s, expected none or --help\n", argv[1]);
    return 1;
  }
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embed_in_an_engine: %s\n", error.what());
    return 1;
  }
}
