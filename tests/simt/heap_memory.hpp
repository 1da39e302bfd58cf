#pragma once

#include <cstring>

#include "lion/core/workspace.hpp"

namespace lion::test {

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
