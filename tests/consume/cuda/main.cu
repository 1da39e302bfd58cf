#include <cstdio>
#include <lion/cuda/launch.hpp>
#include <string>

/// x_i += i.
struct AddIndex {
  struct Parameters {
    float* x;  // [kThreads]
  };
  static constexpr int kThreads = 64;

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    p.x[dev.thread()] += static_cast<float>(dev.thread());
  }
};

// Starts a kernel. On a machine without a GPU that is an error, which names it.
int main() {
  float* x = nullptr;
  const bool gpu = cudaMalloc(&x, AddIndex::kThreads * sizeof(float)) == cudaSuccess;
  try {
    if (gpu) cudaMemset(x, 0, AddIndex::kThreads * sizeof(float));
    lion::cuda::Stream{}.launch<AddIndex>("add_index", {1, 1, 1}, 0, {x});
  } catch (const lion::cuda::CudaError& error) {
    std::printf("%s\n", error.what());
    const std::string begins = "cuda: kernel add_index, grid [1,1,1], 0 bytes of shared memory: ";
    return !gpu && std::string(error.what()).compare(0, begins.size(), begins) == 0 ? 0 : 1;
  }
  float last = 0;
  cudaMemcpy(&last, x + AddIndex::kThreads - 1, sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(x);
  return last == AddIndex::kThreads - 1 ? 0 : 1;
}
