#include "lion/core/workspace.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::Arena;
using lion::Index;
using lion::kAlignment;
using lion::Workspace;

namespace {

/// Some layout, as an operation would write it: the same code counts and takes.
struct Layout {
  double* a;
  char* b;
  float* c;
  explicit Layout(Arena& arena) : a(arena.take<double>(3)), b(arena.take<char>(65)), c(arena.take<float>(7)) {}
};

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

}  // namespace

TEST_CASE("an arena without memory counts what one with memory takes") {
  Arena counting;
  const Layout nothing(counting);
  REQUIRE(nothing.a == nullptr);
  REQUIRE(nothing.b == nullptr);
  REQUIRE(nothing.c == nullptr);
  REQUIRE(counting.used() == 64 + 128 + 28);

  alignas(kAlignment) std::byte memory[256];
  Arena taking(memory);
  const Layout layout(taking);
  REQUIRE(taking.used() == counting.used());
  REQUIRE(address(layout.a) == address(memory));
  REQUIRE(address(layout.b) == address(memory) + 64);
  REQUIRE(address(layout.c) == address(memory) + 192);
}

TEST_CASE("own memory grows, and never shrinks") {
  Workspace workspace;
  REQUIRE(workspace.size() == 0);
  workspace.reserve(0);
  REQUIRE(workspace.size() == 0);
  workspace.reserve(100);
  REQUIRE(workspace.size() == 100);
  const float* first = workspace.arena().take<float>(1);
  REQUIRE(first != nullptr);
  REQUIRE(address(first) % kAlignment == 0);
  workspace.reserve(10);
  REQUIRE(workspace.size() == 100);
  REQUIRE(workspace.arena().take<float>(1) == first);
  workspace.reserve(1000);
  REQUIRE(workspace.size() == 1000);
}

TEST_CASE("borrowed memory serves up to its size") {
  alignas(kAlignment) std::byte memory[128];
  Workspace workspace(memory, sizeof(memory));
  workspace.reserve(128);
  REQUIRE(address(workspace.arena().take<float>(1)) == address(memory));
  require_error<lion::ArgumentError>([&] { workspace.reserve(129); },
                                     "workspace: 128 bytes given, expected at least 129");
  REQUIRE(workspace.size() == 128);
}

TEST_CASE("an arena begins at the first aligned byte") {
  alignas(kAlignment) std::byte memory[192];
  for (std::size_t offset = 0; offset <= kAlignment; ++offset) {
    const Workspace workspace(memory + offset, 128);
    const std::byte* begin = workspace.arena().take<std::byte>(1);
    REQUIRE(address(begin) % kAlignment == 0);
    REQUIRE(begin >= memory + offset);
    REQUIRE(begin < memory + offset + kAlignment);
  }
}

TEST_CASE("memory that ends before its first aligned byte is none") {
  alignas(kAlignment) std::byte memory[64];
  REQUIRE(Workspace(memory + 1, 63).arena().take<float>(1) == nullptr);
}

TEST_CASE("a workspace that moves takes its memory along") {
  Workspace a;
  a.reserve(64);
  const float* first = a.arena().take<float>(1);
  const Workspace b = std::move(a);
  REQUIRE(b.arena().take<float>(1) == first);
  REQUIRE(b.size() == 64);
  // What it left behind has none, and can be given some again.
  REQUIRE(a.size() == 0);                        // NOLINT: after the move, on purpose
  REQUIRE(a.arena().take<float>(1) == nullptr);  // NOLINT
  a.reserve(32);                                 // NOLINT
  REQUIRE(a.arena().take<float>(1) != nullptr);  // NOLINT
}

TEST_CASE("a workspace over borrowed memory moves, and remains borrowed") {
  alignas(kAlignment) std::byte memory[64];
  Workspace a(memory, sizeof(memory));
  Workspace b;
  b.reserve(256);
  b = std::move(a);
  REQUIRE(b.size() == 64);
  REQUIRE_THROWS_AS(b.reserve(65), lion::ArgumentError);
}
