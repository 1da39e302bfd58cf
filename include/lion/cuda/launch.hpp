#pragma once
/// How a kernel is started on the GPU. Compiles under nvcc only, as gpu.hpp does.

#include <cuda_runtime.h>

#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

#include "lion/core/view.hpp"
#include "lion/cuda/error.hpp"
#include "lion/cuda/gpu.hpp"

namespace lion::cuda {

/// Starts kernels one after another on a CUDA stream of the caller's; the default is the legacy stream.
struct Stream {
  cudaStream_t stream = nullptr;

  /// Starts Kernel::run in `grid` blocks of Kernel::kThreads threads and `shared_bytes` of shared memory, and returns
  /// before it has run. Allocates nothing, and may be captured in a graph, but not the first time: that loads the
  /// kernel, which drivers older than CUDA 12.3's cannot do while they capture. Grids have at most 2³¹−1, 65535 and
  /// 65535 blocks on their axes; one without blocks starts nothing. Throws CudaError, which names the kernel by `name`.
  template <class Kernel>
  void launch(const char* name, const Shape<3>& grid, std::size_t shared_bytes,
              const typename Kernel::Parameters& parameters) const {
    using Parameters = typename Kernel::Parameters;
    static_assert(std::is_trivially_copyable_v<Parameters> && sizeof(Parameters) <= 4096,
                  "lion::cuda::Stream: a kernel's Parameters are trivially copyable and at most 4096 bytes");
    static_assert(Kernel::kThreads % 32 == 0 && Kernel::kThreads > 0 && Kernel::kThreads <= 1024,
                  "lion::cuda::Stream: a kernel has from 1 to 32 whole warps");
    if (count(grid) == 0) return;
    const auto entry = &run_kernel<Kernel>;  // taken once: each translation unit may have its own
    cudaError_t status = allow_shared(reinterpret_cast<const void*>(entry), shared_bytes);
    if (status == cudaSuccess) {
      void* arguments[] = {const_cast<Parameters*>(&parameters)};
      status = cudaLaunchKernel(entry, dim3(blocks(grid[0]), blocks(grid[1]), blocks(grid[2])), dim3(Kernel::kThreads),
                                arguments, shared_bytes, stream);
    }
    if (status == cudaSuccess) return;
    (void)cudaGetLastError();  // it is told here: the caller's next call shall not find it again
    throw CudaError("cuda: kernel " + std::string(name) + ", grid " + to_string(grid) + ", " +
                    std::to_string(shared_bytes) + " bytes of shared memory: " + cudaGetErrorString(status));
  }

 private:
  /// Extents beyond 32 bits become one that CUDA refuses.
  static unsigned blocks(Index extent) {
    constexpr Index kMost = (std::numeric_limits<unsigned>::max)();
    return static_cast<unsigned>(extent < 0 || extent > kMost ? kMost : extent);
  }

  /// Above 48 KiB a kernel must ask. It asks for all that the device has, so that threads that launch it with
  /// different sizes do not take it from each other.
  static cudaError_t allow_shared(const void* entry, std::size_t bytes) {
    constexpr std::size_t kUnasked = 48 * 1024;
    if (bytes <= kUnasked) return cudaSuccess;
    int device = 0;
    int most = 0;
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess) {
      status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    if (status != cudaSuccess) return status;
    return cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
  }
};

}  // namespace lion::cuda
