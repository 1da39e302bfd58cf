// All that `new` gives lies in memory that the CPU and the GPU see, so that tests written for the emulation hand their
// vectors to kernels as they are; and each allocation is one that compute-sanitizer knows the bounds of. Without a GPU
// the program ends with status 77, which ctest takes for skipped (tests/cuda/CMakeLists.txt).

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr std::size_t kPlainAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/// Lies before what is given. What CUDA or a tool allocates for itself while it allocates for us is plain memory.
enum class Origin : std::size_t { managed, plain };

thread_local bool in_cuda = false;

void require_gpu() {
  static const bool asked = [] {
    int devices = 0;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaSuccess && devices == 0) status = cudaErrorNoDevice;
    if (status == cudaSuccess) return true;
    std::printf("no GPU: %s\n", cudaGetErrorString(status));
    std::fflush(stdout);
    std::_Exit(77);
  }();
  (void)asked;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t front = alignment > kPlainAlignment ? alignment : kPlainAlignment;
  const Origin origin = in_cuda ? Origin::plain : Origin::managed;
  void* memory = nullptr;
  if (origin == Origin::plain) {
    memory = std::aligned_alloc(front, (front + bytes + front - 1) / front * front);
  } else {
    in_cuda = true;
    require_gpu();
    if (cudaMallocManaged(&memory, front + bytes) != cudaSuccess) memory = nullptr;  // 256-byte aligned
    in_cuda = false;
  }
  if (!memory) throw std::bad_alloc();
  auto* given = static_cast<std::byte*>(memory) + front;
  std::memcpy(given - sizeof(origin), &origin, sizeof(origin));
  return given;
}

void release(void* given, std::size_t alignment) {
  if (!given) return;
  const std::size_t front = alignment > kPlainAlignment ? alignment : kPlainAlignment;
  Origin origin;
  std::memcpy(&origin, static_cast<std::byte*>(given) - sizeof(origin), sizeof(origin));
  void* memory = static_cast<std::byte*>(given) - front;
  if (origin == Origin::plain) {
    std::free(memory);
  } else {
    in_cuda = true;
    (void)cudaFree(memory);
    in_cuda = false;
  }
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, kPlainAlignment); }
void* operator new[](std::size_t bytes) { return allocate(bytes, kPlainAlignment); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* given) noexcept { release(given, kPlainAlignment); }
void operator delete[](void* given) noexcept { release(given, kPlainAlignment); }
void operator delete(void* given, std::size_t) noexcept { release(given, kPlainAlignment); }
void operator delete[](void* given, std::size_t) noexcept { release(given, kPlainAlignment); }
void operator delete(void* given, std::align_val_t alignment) noexcept {
  release(given, static_cast<std::size_t>(alignment));
}
void operator delete[](void* given, std::align_val_t alignment) noexcept {
  release(given, static_cast<std::size_t>(alignment));
}
void operator delete(void* given, std::size_t, std::align_val_t alignment) noexcept {
  release(given, static_cast<std::size_t>(alignment));
}
void operator delete[](void* given, std::size_t, std::align_val_t alignment) noexcept {
  release(given, static_cast<std::size_t>(alignment));
}
