#pragma once
/// What a kernel asks of the machine, and the one place that names CUDA's intrinsics and PTX.
///
/// Kernels are templates over a device type `Dev`: on the GPU it is `Gpu`; in tests it is `simt::Thread`, the same
/// interface in plain C++ (tests/simt). Compiles under nvcc only, for sm_80 and later, with
/// --expt-relaxed-constexpr and EIGEN_NO_CUDA (lion::bfloat16 and lion::half then are Eigen's 16 bits, which are
/// CUDA's too). Instructions are those of the PTX ISA, named at each function.

#if !defined(__CUDACC__)
#error "lion/cuda/gpu.hpp: compile this file with nvcc (a source that ends in .cu, or LANGUAGE CUDA in CMake)."
#endif

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::cuda {

namespace detail {
/// What the tensor cores multiply here.
template <class T>
concept Short = std::same_as<T, bfloat16> || std::same_as<T, half>;

/// What one lane can hand to another.
template <class A>
concept Shuffled = Real<A> || std::same_as<A, int> || std::same_as<A, unsigned>;
}  // namespace detail

/// One thread of a block. Blocks have one axis of threads, a multiple of 32; lanes that share a warp call what is
/// named "of the warp" all together.
struct Gpu {
  static constexpr unsigned kAll = 0xffffffffu;  // every lane takes part

  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x % 32u); }
  __device__ __forceinline__ int warp() const { return static_cast<int>(threadIdx.x / 32u); }

  /// Place of the block on an axis 0, 1, 2 of the grid.
  __device__ __forceinline__ Index block(int axis) const {
    return static_cast<Index>(axis == 0 ? blockIdx.x : axis == 1 ? blockIdx.y : blockIdx.z);
  }

  /// The block's shared memory, as many bytes as the launch asked for, 128-byte aligned. Holds anything at first.
  __device__ __forceinline__ std::byte* shared() const {
    extern __shared__ __align__(128) unsigned char lion_shared_memory[];
    return reinterpret_cast<std::byte*>(lion_shared_memory);
  }

  /// All threads of the block meet; what they wrote before, all see after.
  __device__ __forceinline__ void barrier() const { __syncthreads(); }

  /// The same of the warp.
  __device__ __forceinline__ void warp_barrier() const { __syncwarp(); }

  /// Of the warp: the value of lane `from` (modulo 32).
  template <detail::Shuffled A>
  __device__ __forceinline__ A shuffle(A value, int from) const {
    return __shfl_sync(kAll, value, from);
  }

  /// Of the warp: the value of the lane `by` below; lanes below `by` keep their own.
  template <detail::Shuffled A>
  __device__ __forceinline__ A shuffle_up(A value, int by) const {
    return __shfl_up_sync(kAll, value, static_cast<unsigned>(by));
  }

  /// Of the warp: the value of lane() ^ mask, with mask < 32.
  template <detail::Shuffled A>
  __device__ __forceinline__ A shuffle_xor(A value, int mask) const {
    return __shfl_xor_sync(kAll, value, mask);
  }

  /// e^x, to within one unit in the last place (float two).
  template <Real A>
  __device__ __forceinline__ static A exp(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::expf(x);
    } else {
      return ::exp(x);
    }
  }

  /// e^x for a weight, x ≤ 0: wrong by at most 2^-21 of the largest weight, 1 (float: ex2.approx of a rounded product,
  /// which is off by 2^-24 |x| relatively: only where e^x is small; subnormal results may be 0).
  template <Real A>
  __device__ __forceinline__ static A exp_weight(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::__expf(x);
    } else {
      return ::exp(x);
    }
  }

  /// 1 - erf(x), without cancellation (to within a few units in the last place).
  template <Real A>
  __device__ __forceinline__ static A erfc(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::erfcf(x);
    } else {
      return ::erfc(x);
    }
  }

  /// log(1 + x), likewise.
  template <Real A>
  __device__ __forceinline__ static A log1p(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::log1pf(x);
    } else {
      return ::log1p(x);
    }
  }

  /// e^x - 1, likewise.
  template <Real A>
  __device__ __forceinline__ static A expm1(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::expm1f(x);
    } else {
      return ::expm1(x);
    }
  }

  /// tanh x, likewise.
  template <Real A>
  __device__ __forceinline__ static A tanh(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::tanhf(x);
    } else {
      return ::tanh(x);
    }
  }

  /// √x.
  template <Real A>
  __device__ __forceinline__ static A sqrt(A x) {
    if constexpr (std::same_as<A, float>) {
      return ::sqrtf(x);
    } else {
      return ::sqrt(x);
    }
  }

  template <class A>
  __device__ __forceinline__ static A(max)(A a, A b) {
    return a < b ? b : a;
  }
  template <class A>
  __device__ __forceinline__ static A(min)(A a, A b) {
    return b < a ? b : a;
  }

  /// A stored value as arithmetic takes it. Exact.
  template <Scalar T>
  __device__ __forceinline__ static accumulator_t<T> widen(T value) {
    if constexpr (Real<T>) {
      return value;
    } else if constexpr (std::same_as<T, bfloat16>) {
      return __uint_as_float(static_cast<unsigned>(std::bit_cast<std::uint16_t>(value)) << 16);
    } else {
      float wide;
      asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(std::bit_cast<std::uint16_t>(value)));
      return wide;
    }
  }

  /// A value as it is stored: rounded to the nearest, ties to even.
  template <Scalar T>
  __device__ __forceinline__ static T narrow(accumulator_t<T> value) {
    if constexpr (Real<T>) {
      return value;
    } else {
      std::uint16_t bits;
      if constexpr (std::same_as<T, bfloat16>) {
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
      } else {
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
      }
      return std::bit_cast<T>(bits);
    }
  }

  /// Begins to copy 16 bytes (16/sizeof(T) elements) from global to shared memory, both 16-byte aligned; zeros are
  /// written where `valid` is false, and then global may hold anything, but must have as many bytes. They are there for
  /// this thread after wait(), for others after a barrier too. (cp.async.cg)
  template <Scalar T>
  __device__ __forceinline__ void copy_async(T* shared, const T* global, bool valid) const {
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
                 : "memory");
  }

  /// Ends a group: the copies that this thread began since the last commit(). (cp.async.commit_group)
  __device__ __forceinline__ void commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }

  /// Until of this thread's groups only the last `pending` may still be under way. (cp.async.wait_group)
  template <int pending>
  __device__ __forceinline__ void wait() const {
    static_assert(pending >= 0);
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
  }

  /// Of the warp: N matrices of 8×8 from shared memory. Lanes 8m … 8m+7 give the addresses of the rows of matrix m,
  /// row + offset: an offset that is known when compiled costs nothing (16 bytes each, 16-byte aligned); lane l
  /// receives elements 2(l%4) and 2(l%4)+1, the first in the low half, of row l/4 (transposed: of column l/4) of each.
  /// (ldmatrix)
  template <bool transposed, detail::Short T>
  __device__ __forceinline__ void load_matrices(const T* row, int offset, unsigned (&to)[4]) const {
    if constexpr (transposed) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                   : "r"(shared_address(row) + static_cast<unsigned>(offset * 2))
                   : "memory");
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                   : "r"(shared_address(row) + static_cast<unsigned>(offset * 2))
                   : "memory");
    }
  }
  template <bool transposed, detail::Short T>
  __device__ __forceinline__ void load_matrices(const T* row, int offset, unsigned (&to)[2]) const {
    if constexpr (transposed) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                   : "=r"(to[0]), "=r"(to[1])
                   : "r"(shared_address(row) + static_cast<unsigned>(offset * 2))
                   : "memory");
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                   : "=r"(to[0]), "=r"(to[1])
                   : "r"(shared_address(row) + static_cast<unsigned>(offset * 2))
                   : "memory");
    }
  }

  /// Two values as stored, in one register: as narrow() does, low in the low half.
  template <detail::Short T>
  __device__ __forceinline__ static unsigned pack(float low, float high) {
    unsigned both;
    if constexpr (std::same_as<T, bfloat16>) {
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    } else {
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    }
    return both;
  }

  /// Of the warp: d += a·b, a [16,16], b [16,8], d [16,8] in fragments. With g = lane/4, t = lane%4 and pairs of
  /// elements 2t, 2t+1 (low half first): a = rows g, g+8, g, g+8 at columns 2t, 2t, 2t+8, 2t+8; b = rows 2t, 2t+8 of
  /// column g; d = row g at 2t, 2t+1, then row g+8. (mma.m16n8k16, float sums)
  template <detail::Short T>
  __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) const {
    if constexpr (std::same_as<T, bfloat16>) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
  }

 private:
  /// An address in shared memory as PTX's .shared instructions take it.
  __device__ __forceinline__ static unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
  }
};

namespace detail {
/// How many blocks of a kernel shall fit on a multiprocessor, by its registers: kBlocks, or as the compiler likes.
template <class Kernel>
constexpr int blocks_of() {
  if constexpr (requires { Kernel::kBlocks; }) {
    return Kernel::kBlocks;
  } else {
    return 0;
  }
}
}  // namespace detail

/// The entry of every kernel: one object of Parameters, in constant memory, for all threads.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, detail::blocks_of<Kernel>())
    run_kernel(const __grid_constant__ typename Kernel::Parameters parameters) {
  Kernel::run(Gpu{}, parameters);
}

}  // namespace lion::cuda
