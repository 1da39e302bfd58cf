#pragma once
/// Memory of a GPU that someone owns. Needs the CUDA runtime's headers, not nvcc.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <utility>

#include "lion/cuda/error.hpp"

namespace lion::cuda {

/// `size` bytes on the current device, at a multiple of 256; uninitialised. Moves, and is freed with its owner.
class Memory {
 public:
  Memory() = default;
  /// Throws CudaError.
  explicit Memory(std::size_t size) : size_(size) {
    void* data = nullptr;
    require(cudaMalloc(&data, size > 0 ? size : 1), "allocation");
    data_ = static_cast<std::byte*>(data);
  }
  Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Memory() {
    if (data_) (void)cudaFree(data_);
  }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

  /// Copies all of it from the host, or to the host, and waits. Throws CudaError.
  void upload(const void* host) const {
    require(cudaMemcpy(data_, host, size_, cudaMemcpyHostToDevice), "upload");
    // It may have returned with the last bytes under way, and streams of the caller's need not wait for its stream.
    require(cudaStreamSynchronize(nullptr), "upload");
  }
  void download(void* host) const { require(cudaMemcpy(host, data_, size_, cudaMemcpyDeviceToHost), "download"); }

 private:
  void require(cudaError_t status, const char* what) const {
    if (status == cudaSuccess) return;
    (void)cudaGetLastError();  // it is told here: the caller's next call shall not find it again
    throw CudaError("cuda: " + std::string(what) + " of " + std::to_string(size_) +
                    " bytes: " + cudaGetErrorString(status));
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lion::cuda
