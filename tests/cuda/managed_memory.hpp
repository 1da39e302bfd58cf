#pragma once
/// The heap of the tests on the GPU.

namespace lion::test {

/// Whether `new` gives this thread managed memory from now on; returns whether it did.
bool manage_memory(bool managed);

/// While it lives `new` gives this thread plain memory: what CUDA or a tool allocates for itself.
class PlainMemory {
 public:
  PlainMemory() : before_(manage_memory(false)) {}
  PlainMemory(const PlainMemory&) = delete;
  PlainMemory& operator=(const PlainMemory&) = delete;
  ~PlainMemory() { manage_memory(before_); }

 private:
  bool before_;
};

}  // namespace lion::test
