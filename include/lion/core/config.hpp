#pragma once
/// Marks for code of the device, alone or shared with the host; they vanish off nvcc. LION_UNROLL unrolls a loop
/// of the device, LION_UNROLL_BY(n) one of the CPU.

#include "lion/core/version.hpp"

#if defined(__CUDACC__)
#define LION_HOST_DEVICE __host__ __device__
#define LION_DEVICE __device__
#define LION_UNROLL _Pragma("unroll")
#define LION_UNROLL_BY(n)
#else
#define LION_HOST_DEVICE
#define LION_DEVICE
#define LION_UNROLL
#define LION_DETAIL_PRAGMA(text) _Pragma(#text)
#define LION_UNROLL_BY(n) LION_DETAIL_PRAGMA(GCC unroll n)
#endif

/// Of the CPU's kernels, where a call costs as much as the work.
#define LION_ALWAYS_INLINE __attribute__((always_inline)) inline
#define LION_NO_INLINE __attribute__((noinline))
