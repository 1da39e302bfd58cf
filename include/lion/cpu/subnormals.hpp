#pragma once
/// Numbers below the smallest normal one, which masks far from the diagonal are full of.

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace lion::cpu {

/// While it lives, subnormal numbers count as 0 on this thread: on Intel's processors an operation on one takes about
/// 150 cycles, and full attention under a decay meets many. The thread's own setting comes back with its end.
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }  // flush to zero, denormals are zero
  ~FlushSubnormals() { _mm_setcsr(before_); }
#else
  FlushSubnormals() {}
  ~FlushSubnormals() {}
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
#if defined(__SSE2__)
  unsigned before_;
#endif
};

}  // namespace lion::cpu
