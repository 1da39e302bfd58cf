// The emulation itself: each primitive against its definition, and each mistake that it is there to find.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "lion/core/config.hpp"
#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"
#include "simt/check_primitives.hpp"
#include "simt/launcher.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::half;
using lion::simt::Emulated;
using lion::simt::Places;

namespace {

constexpr unsigned kSeeds = 8;

template <class Kernel>
std::string error_of(std::size_t shared_bytes, const typename Kernel::Parameters& parameters, unsigned seed = 0) {
  try {
    Emulated{seed}.launch<Kernel>("broken", {1, 1, 1}, shared_bytes, parameters);
  } catch (const lion::Error& error) {
    return error.what();
  }
  return "no error";
}

std::string at(unsigned line) { return "(simt_test.cpp:" + std::to_string(line) + ")"; }

// Asynchronous copies. Thread 0 begins three groups and one copy more, and looks after each wait.

struct Copies {
  struct Parameters {
    const float* in;  // [4, 4]
    float* out;       // [4 looks, 4 copies]
  };
  static constexpr int kThreads = 32;
  static constexpr std::size_t kSharedBytes = 16 * sizeof(float);

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    if (dev.thread() != 0) return;
    float* shared = reinterpret_cast<float*>(dev.shared());
    const auto look = [&](int when) {
      for (int i = 0; i < 4; ++i) p.out[when * 4 + i] = shared[4 * i];
    };
    for (int i = 0; i < 3; ++i) {
      dev.copy_async(shared + 4 * i, p.in + 4 * i, i != 1);
      dev.commit();
    }
    dev.copy_async(shared + 12, p.in + 12, true);
    look(0);
    dev.template wait<2>();
    look(1);
    dev.template wait<1>();
    look(2);
    dev.template wait<0>();
    look(3);
  }
};

/// Under how many seeds it goes wrong.
unsigned wrong_rotations(bool before, bool after) {
  unsigned wrong = 0;
  for (unsigned seed = 0; seed < kSeeds; ++seed) wrong += lion::simt::rotates(Emulated{seed}, before, after) ? 0 : 1;
  return wrong;
}

/// A buffer is filled anew by a copy that begins before a barrier, while others may still read it.
struct Refill {
  struct Parameters {
    const int* in;  // [threads, 4]
    int* out;       // [threads]
  };
  static constexpr int kThreads = 64;
  static constexpr std::size_t kSharedBytes = kThreads * 16;

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    int* shared = reinterpret_cast<int*>(dev.shared());
    shared[4 * dev.thread()] = dev.thread();
    dev.barrier();
    dev.copy_async(reinterpret_cast<float*>(shared + 4 * dev.thread()),
                   reinterpret_cast<const float*>(p.in + 4 * dev.thread()), true);
    dev.commit();
    p.out[dev.thread()] = shared[4 * ((dev.thread() + 32) % kThreads)];
    dev.barrier();
    dev.template wait<0>();
  }
};

// Mistakes.

struct HalfBarrier {  // a warp that never comes
  struct Parameters {
    int waiting;
  };
  static constexpr int kThreads = 64;
  static constexpr unsigned kLine = __LINE__ + 3;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    if (dev.thread() < p.waiting) dev.barrier();
  }
};

struct TwoBarriers {  // two warps, two places
  struct Parameters {};
  static constexpr int kThreads = 64;
  static constexpr unsigned kLine = __LINE__ + 4;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters&) {
    if (dev.warp() == 0) {
      dev.barrier();
    } else {
      dev.barrier();
    }
  }
};

struct Mismatch {  // lanes of a warp part
  struct Parameters {
    int kind;
  };
  static constexpr int kThreads = 32;
  static constexpr unsigned kLine = __LINE__ + 5;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const int lane = dev.lane();
    if (lane < 31) {
      (void)dev.shuffle(lane, 0);
    } else if (p.kind == 0) {
      (void)dev.shuffle(lane, 0);
    } else if (p.kind == 1) {
      (void)dev.shuffle(1.0f, 0);
    } else if (p.kind == 2) {
      dev.barrier();
    }
  }
};

struct Addresses {
  struct Parameters {
    const float* in;  // aligned
    int kind;
  };
  static constexpr int kThreads = 32;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    float* shared = reinterpret_cast<float*>(dev.shared());
    unsigned to[4];
    if (p.kind == 0) dev.copy_async(shared + 1, p.in, true);
    if (p.kind == 1) dev.copy_async(shared, p.in + 1, false);
    if (p.kind == 2) dev.copy_async(shared + 16, p.in, true);
    if (p.kind == 3) dev.template load_matrices<false>(reinterpret_cast<half*>(shared), 4, to);
    if (p.kind == 4) dev.template load_matrices<false>(reinterpret_cast<const half*>(p.in), 0, to);
  }
};

struct Fresh {  // what is in shared memory at first
  struct Parameters {
    int* numbers;
  };
  static constexpr int kThreads = 32;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    auto* shared = reinterpret_cast<double*>(dev.shared());
    if (!(shared[dev.lane()] != shared[dev.lane()])) ++*p.numbers;
    shared[dev.lane()] = 1;
  }
};

#if defined(LION_SIMT_ADDRESS_SANITIZER)
struct Beyond {
  struct Parameters {
    int at;
  };
  static constexpr int kThreads = 32;
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    if (dev.thread() == 31) reinterpret_cast<char*>(dev.shared())[p.at] = 1;
  }
};
#endif

}  // namespace

TEST_CASE("each primitive does what its definition says, under every seed") {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    lion::simt::check_primitives(Emulated{seed});
    lion::simt::check_primitives(Emulated{seed, true});
  }
}

TEST_CASE("a grid without blocks runs nothing, one too large for a GPU is an error") {
  Emulated{}.launch<Places>("places", {2, 0, 4}, 0, {nullptr, 0, 0});
  require_error<lion::Error>(
      [] {
        Emulated{}.launch<Places>("places", {1, 65536, 1}, 64, {nullptr, 0, 0});
      },
      "simt: kernel places, grid [1,65536,1], 64 bytes of shared memory: too large for a GPU");
  require_error<lion::Error>(
      [] {
        Emulated{}.launch<Places>("places", {1, 1, 1}, 232449, {nullptr, 0, 0});
      },
      "simt: kernel places, grid [1,1,1], 232449 bytes of shared memory: too large for a GPU");
}

TEST_CASE("asynchronous copies arrive when their group is waited for, zeros where they are not valid") {
  alignas(16) std::array<float, 16> in;
  in.fill(7);
  std::array<float, 16> out{};
  Emulated{}.launch<Copies>("copies", {1, 1, 1}, Copies::kSharedBytes, {in.data(), out.data()});
  const float none = std::numeric_limits<float>::quiet_NaN();
  const std::array<float, 16> expected{none, none, none, none, 7, none, none, none, 7, 0, none, none, 7, 0, 7, none};
  for (std::size_t i = 0; i < out.size(); ++i) {
    INFO("look " << i / 4 << ", copy " << i % 4 << ": " << out[i]);
    REQUIRE((std::isnan(expected[i]) ? std::isnan(out[i]) : out[i] == expected[i]));
  }

  Emulated{.early_copies = true}.launch<Copies>("copies", {1, 1, 1}, Copies::kSharedBytes, {in.data(), out.data()});
  for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(out[i] == (i % 4 == 1 ? 0 : 7));
}

TEST_CASE("a missing barrier shows under some seed") {
  REQUIRE(wrong_rotations(true, true) == 0);
  REQUIRE(wrong_rotations(false, true) > 0);
  REQUIRE(wrong_rotations(true, false) > 0);
}

TEST_CASE("a buffer refilled too early shows with early copies") {
  alignas(16) std::array<int, 4 * Refill::kThreads> in;
  in.fill(-1);
  for (const bool early : {false, true}) {
    unsigned wrong = 0;
    for (unsigned seed = 0; seed < kSeeds; ++seed) {
      std::array<int, Refill::kThreads> out{};
      Emulated{seed, early}.launch<Refill>("refill", {1, 1, 1}, Refill::kSharedBytes, {in.data(), out.data()});
      for (int i = 0; i < Refill::kThreads; ++i) wrong += out[static_cast<std::size_t>(i)] != (i + 32) % 64;
    }
    REQUIRE((wrong > 0) == early);
  }
}

TEST_CASE("a barrier that some threads do not reach is an error") {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    const std::string waiting = " threads wait at barrier " + at(HalfBarrier::kLine);
    REQUIRE(error_of<HalfBarrier>(0, {32}, seed) ==
            "simt: kernel broken, block [0,0,0]: 32" + waiting + ", 32 have ended");
    REQUIRE(error_of<HalfBarrier>(0, {50}, seed) ==
            "simt: kernel broken, block [0,0,0]: 50" + waiting + ", 14 have ended");
    REQUIRE(error_of<HalfBarrier>(0, {64}, seed) == "no error");
    const std::string error = error_of<TwoBarriers>(0, {}, seed);
    REQUIRE(error.find(": others wait at barrier ") != std::string::npos);
    REQUIRE(error.find(at(TwoBarriers::kLine)) != std::string::npos);
    REQUIRE(error.find(at(TwoBarriers::kLine + 2)) != std::string::npos);
  }
}

TEST_CASE("lanes of a warp in different operations, or in one at different places, are an error") {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    for (const int kind : {0, 1}) {
      const std::string error = error_of<Mismatch>(0, {kind}, seed);
      REQUIRE(error.find(": others wait at shuffle ") != std::string::npos);
      REQUIRE(error.find(at(Mismatch::kLine)) != std::string::npos);
      REQUIRE(error.find(at(Mismatch::kLine + 2 + 2 * static_cast<unsigned>(kind))) != std::string::npos);
    }
    const std::string parted = error_of<Mismatch>(0, {2}, seed);
    REQUIRE(parted.find("31") != std::string::npos);
    REQUIRE(parted.find("barrier " + at(Mismatch::kLine + 6)) != std::string::npos);
    REQUIRE(error_of<Mismatch>(0, {3}, seed) ==
            "simt: kernel broken, block [0,0,0]: 31 threads wait at shuffle " + at(Mismatch::kLine) + ", 1 have ended");
  }
}

TEST_CASE("addresses that are not aligned or not in shared memory are an error") {
  alignas(16) std::array<float, 8> in{};
  const auto error = [&](int kind) { return error_of<Addresses>(64, {in.data(), kind}); };
  const std::string room = " of 64 of shared memory, expected a multiple of 16 and room for as many bytes";
  REQUIRE(error(0).find("the address is byte 4" + room) != std::string::npos);
  REQUIRE(error(1).find("the address in global memory is 4 modulo 16, expected 0") != std::string::npos);
  REQUIRE(error(2).find("the address is byte 64" + room) != std::string::npos);
  REQUIRE(error(3).find("the address is byte 8" + room) != std::string::npos);
  REQUIRE(error(4).find(room) != std::string::npos);
}

TEST_CASE("shared memory begins as NaN in every block") {
  int numbers = 0;
  Emulated{}.launch<Fresh>("fresh", {3, 1, 1}, 32 * sizeof(double), {&numbers});
  REQUIRE(numbers == 0);
}

#if defined(LION_SIMT_ADDRESS_SANITIZER)
TEST_CASE("the address sanitizer ends a program that leaves shared memory") {
  for (const int beyond : {0, 1}) {
    const pid_t child = ::fork();
    if (child == 0) {
      (void)!std::freopen("/dev/null", "w", stderr);
      Emulated{}.launch<Beyond>("beyond", {1, 1, 1}, 100, {99 + beyond});
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE((status != 0) == (beyond == 1));
  }
}
#endif
