#pragma once
/// Counts every allocation of the process, Eigen's included: allocation_counter.cpp sits under malloc itself.

namespace lion::test {

/// Allocations so far, by whatever name: new, malloc, calloc, realloc, aligned_alloc, posix_memalign.
long allocations();

/// Allocations while f() runs.
template <class F>
long allocations_in(F&& f) {
  const long before = allocations();
  f();
  return allocations() - before;
}

}  // namespace lion::test
