#pragma once
/// Time for which the calling thread ran.

#include <ctime>

namespace lion::bench {

/// Seconds, without those in which the machine did something else on its core: on a shared machine half of a long
/// sample may be that.
inline double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace lion::bench
