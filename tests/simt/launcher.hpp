#pragma once
/// Runs kernels where there is no GPU, with the call of lion::cuda::Stream (lion/cuda/launch.hpp).

#include <cstddef>
#include <string>

#include "lion/core/error.hpp"
#include "lion/core/view.hpp"
#include "simt/block.hpp"
#include "simt/thread.hpp"

namespace lion::simt {

/// One block after another, threads in an order that the seed decides: a kernel that is right gives the same bits
/// under every seed. Shared memory begins as NaN in every block, and each thread waits wherever on a GPU it may. What
/// a GPU forbids is an Error: a barrier or an operation of the warp that some threads never reach or reach elsewhere,
/// addresses that are not aligned or not in shared memory, grids and shared memory that are too large. All else that
/// lies out of bounds is the address sanitizer's to find.
struct Emulated {
  unsigned seed = 0;
  bool early_copies = false;  ///< asynchronous copies arrive at once, not when they are waited for: shows what is
                              ///< overwritten while others still read it

  template <class Kernel>
  void launch(const char* name, const Shape<3>& grid, std::size_t shared_bytes,
              const typename Kernel::Parameters& parameters) const {
    static_assert(Kernel::kThreads % kLanes == 0 && Kernel::kThreads > 0 && Kernel::kThreads <= 1024,
                  "lion::simt::Emulated: a kernel has from 1 to 32 whole warps");
    if (count(grid) == 0) return;
    constexpr std::size_t kSharedBytes = 163 * 1024;  // of an A100
    if (grid[0] < 0 || grid[0] > 2147483647 || grid[1] < 0 || grid[1] > 65535 || grid[2] < 0 || grid[2] > 65535 ||
        shared_bytes > kSharedBytes) {
      throw Error("simt: kernel " + std::string(name) + ", grid " + to_string(grid) + ", " +
                  std::to_string(shared_bytes) + " bytes of shared memory: too large for a GPU");
    }
    Block block(name, Kernel::kThreads, shared_bytes, seed, early_copies);
    struct Context {
      Block& block;
      const typename Kernel::Parameters& parameters;
    } context{block, parameters};
    Shape<3> at{};
    for (at[2] = 0; at[2] < grid[2]; ++at[2]) {
      for (at[1] = 0; at[1] < grid[1]; ++at[1]) {
        for (at[0] = 0; at[0] < grid[0]; ++at[0]) {
          block.run(
              at,
              [](void* argument, int thread) {
                const auto& [its_block, its_parameters] = *static_cast<const Context*>(argument);
                Kernel::run(Thread(its_block, thread), its_parameters);
              },
              &context);
        }
      }
    }
  }
};

}  // namespace lion::simt
