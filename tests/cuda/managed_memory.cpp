// All that `new` gives lies in memory that the CPU and the GPU see, so that tests written for the emulation hand their
// vectors to kernels as they are; and each allocation is one that compute-sanitizer knows the bounds of. Without a GPU
// it is plain memory.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

bool managed() {
  static const bool has_gpu = [] {
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  }();
  return has_gpu;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  constexpr std::size_t kManagedAlignment = 256;
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  void* memory = nullptr;
  if (managed()) {
    if (alignment > kManagedAlignment || cudaMallocManaged(&memory, bytes ? bytes : 1) != cudaSuccess) memory = nullptr;
  } else {
    memory = std::aligned_alloc(alignment, size ? size : alignment);
  }
  if (!memory) throw std::bad_alloc();
  return memory;
}

void release(void* memory) {
  if (managed()) {
    (void)cudaFree(memory);
  } else {
    std::free(memory);
  }
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new[](std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
