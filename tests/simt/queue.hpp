#pragma once
/// Models' kernels where tests run them (cuda/launcher.hpp), products by the plain kernel, and memory of the heap.

#include "cuda/launcher.hpp"
#include "lion/nn/cuda/product.hpp"
#include "simt/heap_memory.hpp"

namespace lion::test {

struct Queue {
  Launcher launcher{};

  template <class Kernel>
  void launch(const char* name, const Shape<3>& grid, std::size_t shared_bytes,
              const typename Kernel::Parameters& parameters) const {
    launcher.launch<Kernel>(name, grid, shared_bytes, parameters);
  }
  template <class T, class Out>
  void product(const cuda::Product<T, Out>& p) const {
    cuda::plain_product(launcher, p);
  }
};

}  // namespace lion::test
