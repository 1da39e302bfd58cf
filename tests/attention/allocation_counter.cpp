#include "attention/allocation_counter.hpp"

#include <Eigen/Core>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitized.hpp"

static std::atomic<long> count{0};

long lion::test::allocations() { return count; }

// The sanitizers have an allocator of their own, which reports; glibc's is stepped in front of, and operator new and
// Eigen call it.
extern "C" {
#if defined(LION_TEST_ADDRESS_SANITIZER) || defined(LION_TEST_THREAD_SANITIZER)
void __sanitizer_malloc_hook(const volatile void*, std::size_t) { ++count; }
void __sanitizer_free_hook(const volatile void*) {}
#else
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* p, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  ++count;
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
  ++count;
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t size) {
  ++count;
  return __libc_realloc(p, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  ++count;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++count;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t size) {
  ++count;
  *p = __libc_memalign(alignment, size);
  return *p ? 0 : ENOMEM;
}
#endif
}

using lion::test::allocations_in;

TEST_CASE("an allocation by any name is seen") {
  volatile std::size_t size = 100;
  void* p = nullptr;
  CHECK(allocations_in([&] { p = std::malloc(size); }) == 1);
  CHECK(allocations_in([&] { p = std::realloc(p, 100 * size); }) == 1);
  std::free(p);
  CHECK(allocations_in([&] { p = std::calloc(size, 2); }) == 1);
  std::free(p);
  CHECK(allocations_in([&] { p = std::aligned_alloc(64, 64 * size); }) == 1);
  std::free(p);
  int failed = 1;
  CHECK(allocations_in([&] { failed = posix_memalign(&p, 64, size); }) == 1);
  CHECK(failed == 0);
  std::free(p);
  CHECK(allocations_in([&] { p = ::operator new(size); }) == 1);
  ::operator delete(p);
  CHECK(allocations_in([&] { p = ::operator new(size, std::align_val_t(64)); }) == 1);
  ::operator delete(p, std::align_val_t(64));
  CHECK(allocations_in([&] { std::vector<float> x(size); }) == 1);
  CHECK(allocations_in([&] { Eigen::MatrixXf x(static_cast<Eigen::Index>(size), 3); }) == 1);
  CHECK(allocations_in([] {}) == 0);
}

TEST_CASE("the temporary of a product that Eigen takes from the heap is seen") {
  const Eigen::MatrixXd a = Eigen::MatrixXd::Random(300, 300), b = a;
  Eigen::MatrixXd c(300, 300);
  CHECK(allocations_in([&] { c.noalias() = a * b; }) > 0);
}
