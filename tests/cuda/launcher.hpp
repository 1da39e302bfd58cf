#pragma once
/// Where the tests of kernels run them: emulated in C++ sources, on the GPU in sources that nvcc compiles. A .cu file
/// that includes a test's .cpp runs the same test on the GPU; managed_memory.cpp, linked in, lets the GPU see its heap.

#include "simt/launcher.hpp"

#if defined(__CUDACC__)
#include "cuda/managed_memory.hpp"
#include "lion/cuda/launch.hpp"
#endif

namespace lion::test {

#if defined(__CUDACC__)
/// lion::cuda::Stream that waits for each kernel.
struct Launcher {
  unsigned seed = 0;          ///< a GPU has an order of its own
  bool early_copies = false;  ///< as it likes

  template <class Kernel>
  void launch(const char* name, const Shape<3>& grid, std::size_t shared_bytes,
              const typename Kernel::Parameters& parameters) const {
    const PlainMemory of_cuda;
    cuda::Stream{}.launch<Kernel>(name, grid, shared_bytes, parameters);
    const cudaError_t status = cudaDeviceSynchronize();
    if (status != cudaSuccess) {
      throw cuda::CudaError("cuda: kernel " + std::string(name) + " ran into: " + cudaGetErrorString(status));
    }
  }
};
#else
using Launcher = simt::Emulated;
#endif

}  // namespace lion::test
