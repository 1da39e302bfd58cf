// lion::cuda::Gpu and Stream on the GPU, against the definitions that the emulation is held to.

#include <cstddef>
#include <string>
#include <vector>

#include "cuda/launcher.hpp"
#include "simt/check_primitives.hpp"
#include "support/catch.hpp"

using lion::cuda::CudaError;
using lion::cuda::Stream;
using lion::simt::Places;
using lion::test::Launcher;

namespace {

/// The last byte of a block's shared memory, written and read.
struct Last {
  struct Parameters {
    lion::Index at;
    int* out;
  };
  static constexpr int kThreads = 32;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    if (dev.thread() != 0) return;
    dev.shared()[p.at] = std::byte(42);
    *p.out = static_cast<int>(dev.shared()[p.at]);
  }
};

}  // namespace

TEST_CASE("the GPU does what each primitive's definition says") { lion::simt::check_primitives(Launcher{}); }

TEST_CASE("shared memory above 48 KiB is there for the asking") {
  std::vector<int> out(1);
  for (const lion::Index bytes : {100, 48 * 1024, 96 * 1024}) {
    out[0] = 0;
    Launcher{}.launch<Last>("last", {1, 1, 1}, static_cast<std::size_t>(bytes), {bytes - 1, out.data()});
    REQUIRE(out[0] == 42);
  }
}

TEST_CASE("a launch that CUDA refuses is an error that names it, and is forgotten; no blocks are no launch") {
  Stream{}.launch<Places>("places", {0, 1, 1}, 0, {});
  for (const lion::Shape<3>& grid : {lion::Shape<3>{1, 65536, 1}, {lion::Index{1} << 32, 1, 1}}) {
    const std::string begins =
        "cuda: kernel places, grid " + lion::to_string(grid) + ", 64 bytes of shared memory: invalid ";
    std::string error = "none";
    try {
      Stream{}.launch<Places>("places", grid, 64, {});
    } catch (const CudaError& refused) {
      error = refused.what();
    }
    INFO(error);
    REQUIRE(error.substr(0, begins.size()) == begins);  // CUDA's words go on: "argument" or "configuration argument"
  }
  REQUIRE(cudaGetLastError() == cudaSuccess);
  lion::simt::check_places(Launcher{});
}
