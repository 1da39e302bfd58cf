#pragma once
/// Models' kernels where tests run them (cuda/launcher.hpp), products by the plain kernel, and memory of the heap.

#include <cstring>

#include "cuda/launcher.hpp"
#include "lion/core/workspace.hpp"
#include "lion/nn/cuda/product.hpp"

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

/// Stands for memory of a device: poisoned until it is filled.
class HeapMemory {
 public:
  HeapMemory() = default;
  explicit HeapMemory(std::size_t size) : bytes_(lion::detail::aligned_bytes(size)), size_(size) {
    std::memset(data(), 0xff, size);
  }
  std::byte* data() const { return bytes_.get(); }
  void upload(const void* host) { std::memcpy(data(), host, size_); }
  void download(void* host) const { std::memcpy(host, data(), size_); }

 private:
  lion::detail::AlignedBytes bytes_;
  std::size_t size_ = 0;
};

}  // namespace lion::test
