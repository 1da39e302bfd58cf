#pragma once
/// The device type of the emulation: lion/cuda/gpu.hpp in plain C++, where every function is described.

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lion/core/scalar.hpp"
#include "simt/block.hpp"

namespace lion::simt {

template <class T>
concept Short = std::same_as<T, bfloat16> || std::same_as<T, half>;

template <class A>
concept Shuffled = Real<A> || std::same_as<A, int> || std::same_as<A, unsigned>;

/// One emulated thread. Where a function is called from is an argument of its own that callers leave out.
class Thread {
 public:
  Thread(Block& block, int index) : block_(&block), index_(index) {}

  int thread() const { return index_; }
  int threads() const { return block_->threads(); }
  int lane() const { return index_ % kLanes; }
  int warp() const { return index_ / kLanes; }
  Index block(int axis) const { return block_->at(axis); }
  std::byte* shared() const { return block_->shared(); }

  void barrier(const Where& where = Where::current()) const { block_->barrier(index_, where); }

  void warp_barrier(const Where& where = Where::current()) const {
    block_->collective(index_, "warp_barrier", where, nullptr, [](const Slots&) {});
  }

  template <Shuffled A>
  A shuffle(A value, int from, const Where& where = Where::current()) const {
    return exchange(value, from & (kLanes - 1), "shuffle", where);
  }
  template <Shuffled A>
  A shuffle_up(A value, int by, const Where& where = Where::current()) const {
    return exchange(value, lane() < by ? lane() : lane() - by, "shuffle_up", where);
  }
  template <Shuffled A>
  A shuffle_xor(A value, int mask, const Where& where = Where::current()) const {
    return exchange(value, lane() ^ (mask & (kLanes - 1)), "shuffle_xor", where);
  }

  template <Real A>
  static A exp(A x) {
    return std::exp(x);
  }
  template <Real A>
  static A exp_weight(A x) {
    return std::exp(x);
  }
  template <Real A>
  static A erfc(A x) {
    return std::erfc(x);
  }
  template <Real A>
  static A log1p(A x) {
    return std::log1p(x);
  }
  template <Real A>
  static A expm1(A x) {
    return std::expm1(x);
  }
  template <Real A>
  static A tanh(A x) {
    return std::tanh(x);
  }
  template <Real A>
  static A sqrt(A x) {
    return std::sqrt(x);
  }
  template <class A>
  static A(max)(A a, A b) {
    return a < b ? b : a;
  }
  template <class A>
  static A(min)(A a, A b) {
    return b < a ? b : a;
  }

  template <Scalar T>
  static accumulator_t<T> widen(T value) {
    return static_cast<accumulator_t<T>>(value);
  }
  template <Scalar T>
  static T narrow(accumulator_t<T> value) {
    return static_cast<T>(value);
  }

  template <Scalar T>
  void copy_async(T* shared, const T* global, bool valid, const Where& where = Where::current()) const {
    if (const auto address = reinterpret_cast<std::uintptr_t>(global); address % 16 != 0) {
      block_->throw_error(index_, "copy_async", where,
                          "the address in global memory is " + std::to_string(address % 16) + " modulo 16, expected 0");
    }
    block_->copy(index_, reinterpret_cast<std::byte*>(shared), reinterpret_cast<const std::byte*>(global), valid,
                 where);
  }
  void commit() const { block_->commit(index_); }
  template <int pending>
  void wait() const {
    static_assert(pending >= 0);
    block_->wait(index_, pending);
  }

  template <bool transposed, Short T, std::size_t N>
    requires(N == 2 || N == 4)
  void load_matrices(const T* first, int offset, unsigned (&to)[N], const Where& where = Where::current()) const {
    const T* row = first + offset;
    const std::size_t rows = 8 * N;  // the lanes beyond give no address
    if (static_cast<std::size_t>(lane()) < rows) block_->require_shared(index_, row, 16, "load_matrices", where);
    Matrices<T> matrices{row, to};
    block_->collective(index_, "load_matrices", where, &matrices, &load<transposed, T, N>);
  }

  template <Short T>
  static unsigned pack(float low, float high) {
    return bits(static_cast<T>(low)) | bits(static_cast<T>(high)) << 16;
  }

  template <Short T>
  void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                const Where& where = Where::current()) const {
    Fragments fragments{d, a, b};
    block_->collective(index_, "multiply", where, &fragments, &multiply_warp<T>);
  }

 private:
  template <class A>
  struct Exchange {
    A value;
    int from;
    A received;
  };

  template <class T>
  struct Matrices {
    const T* row;
    unsigned* to;  // [N]
  };

  struct Fragments {
    float* d;           // [4]
    const unsigned* a;  // [4]
    const unsigned* b;  // [2]
  };

  template <class A>
  A exchange(A value, int from, std::string_view what, const Where& where) const {
    Exchange<A> mine{value, from, value};
    block_->collective(index_, what, where, &mine, [](const Slots& slots) {
      for (void* slot : slots) {
        auto& taker = *static_cast<Exchange<A>*>(slot);
        taker.received = static_cast<Exchange<A>*>(slots[static_cast<std::size_t>(taker.from)])->value;
      }
    });
    return mine.received;
  }

  template <class T>
  static unsigned bits(T value) {
    return std::bit_cast<std::uint16_t>(value);
  }
  /// The low (0) or high (1) value of a register.
  template <class T>
  static float unpack(unsigned both, std::size_t high) {
    return static_cast<float>(std::bit_cast<T>(static_cast<std::uint16_t>(both >> (16 * high))));
  }

  /// PTX ISA, ldmatrix.
  template <bool transposed, class T, std::size_t N>
  static void load(const Slots& slots) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      for (std::size_t m = 0; m < N; ++m) {
        unsigned both = 0;
        for (std::size_t e = 0; e < 2; ++e) {
          const std::size_t across = l / 4;
          const std::size_t along = 2 * (l % 4) + e;
          const std::size_t r = transposed ? along : across;
          const std::size_t c = transposed ? across : along;
          both |= bits(static_cast<Matrices<T>*>(slots[8 * m + r])->row[c]) << (16 * e);
        }
        static_cast<Matrices<T>*>(slots[l])->to[m] = both;
      }
    }
  }

  /// PTX ISA, the fragments of mma.m16n8k16 for 16-bit elements.
  template <class T>
  static void multiply_warp(const Slots& slots) {
    float a[16][16];  // [M, K]
    float b[16][8];   // [K, N]
    for (std::size_t l = 0; l < kLanes; ++l) {
      const auto& bringer = *static_cast<const Fragments*>(slots[l]);
      const std::size_t g = l / 4;
      const std::size_t t = l % 4;
      for (std::size_t e = 0; e < 2; ++e) {
        for (std::size_t i = 0; i < 4; ++i) {
          a[g + 8 * (i % 2)][2 * t + 8 * (i / 2) + e] = unpack<T>(bringer.a[i], e);
        }
        for (std::size_t i = 0; i < 2; ++i) b[2 * t + 8 * i + e][g] = unpack<T>(bringer.b[i], e);
      }
    }
    for (std::size_t l = 0; l < kLanes; ++l) {
      float* d = static_cast<const Fragments*>(slots[l])->d;
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t r = l / 4 + 8 * (i / 2);
        const std::size_t c = 2 * (l % 4) + i % 2;
        for (std::size_t k = 0; k < 16; ++k) d[i] += a[r][k] * b[k][c];
      }
    }
  }

  Block* block_;
  int index_;
};

}  // namespace lion::simt
