// The main of tests on the GPU. All that `new` gives them lies in memory that the CPU and the GPU see, so that tests
// written for the emulation hand their vectors to kernels as they are; and each allocation is one that
// compute-sanitizer knows the bounds of. Without a GPU the program ends with status 77, which ctest takes for skipped
// (tests/cuda/CMakeLists.txt).

#include "cuda/managed_memory.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>
#include <utility>

#define CATCH_CONFIG_RUNNER  // Catch2 2.13 is compiled here
#include "support/catch.hpp"

namespace {

using lion::test::PlainMemory;

constexpr std::size_t kPlainAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/// Lies before what is given.
enum class Origin : std::size_t { managed, plain };

thread_local bool managed = false;  // before main and after it CUDA may not be called

void* allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t front = alignment > kPlainAlignment ? alignment : kPlainAlignment;
  const Origin origin = managed ? Origin::managed : Origin::plain;
  void* memory = nullptr;
  if (origin == Origin::plain) {
    memory = std::aligned_alloc(front, (front + bytes + front - 1) / front * front);
  } else {
    const PlainMemory of_cuda;
    if (cudaMallocManaged(&memory, front + bytes) != cudaSuccess) memory = nullptr;  // 256-byte aligned
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
    const PlainMemory of_cuda;
    (void)cudaFree(memory);
  }
}

}  // namespace

bool lion::test::manage_memory(bool now) { return std::exchange(managed, now); }

int main(int argc, char** argv) {
  int devices = 0;
  cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices == 0) status = cudaErrorNoDevice;
  if (status != cudaSuccess) {
    std::printf("no GPU: %s\n", cudaGetErrorString(status));
    return 77;
  }
  managed = true;
  const int result = Catch::Session().run(argc, argv);
  managed = false;
  std::cout.flush();
  std::fflush(nullptr);
  (void)cudaDeviceReset();  // compute-sanitizer's last chance to report
  std::_Exit(result);       // what static objects still own is gone
}

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
