#include "lion/core/view.hpp"

#include <array>
#include <type_traits>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::Index;
using lion::Shape;
using lion::View;

TEST_CASE("a dense view walks memory in row-major order") {
  std::array<int, 24> memory{};
  const View<int, 3> view(memory.data(), {2, 3, 4});
  REQUIRE(view.strides() == Shape<3>{12, 4, 1});
  REQUIRE(view.size() == 24);
  Index place = 0;
  for (Index i = 0; i < 2; ++i) {
    for (Index j = 0; j < 3; ++j) {
      for (Index k = 0; k < 4; ++k) REQUIRE(&view(i, j, k) == memory.data() + place++);
    }
  }
}

TEST_CASE("strides may be anything") {
  std::array<int, 64> memory{};
  SECTION("a fused buffer: every third row") {
    const View<int, 2> view(memory.data() + 4, {5, 4}, {12, 1});
    REQUIRE(&view(0, 0) == memory.data() + 4);
    REQUIRE(&view(4, 3) == memory.data() + 4 + 48 + 3);
    REQUIRE(view.rows_contiguous());
  }
  SECTION("a transpose") {
    const View<int, 2> view(memory.data(), {4, 5}, {1, 4});
    REQUIRE(&view(3, 2) == memory.data() + 3 + 8);
    REQUIRE_FALSE(view.rows_contiguous());
  }
  SECTION("one value for all: stride 0") {
    const View<int, 2> view(memory.data(), {4, 5}, {0, 1});
    view(3, 2) = 7;
    REQUIRE(view(0, 2) == 7);
  }
  SECTION("backwards") {
    const View<int, 1> view(memory.data() + 9, {10}, {-1});
    REQUIRE(&view(9) == memory.data());
  }
}

TEST_CASE("leading indices give the address where the rest begins") {
  std::array<int, 120> memory{};
  const View<int, 4> view(memory.data(), {2, 3, 4, 5});
  REQUIRE(view.at() == memory.data());
  REQUIRE(view.at(1) == memory.data() + 60);
  REQUIRE(view.at(1, 2) == memory.data() + 100);
  REQUIRE(view.at(1, 2, 3, 4) == &view(1, 2, 3, 4));
}

TEST_CASE("rows of one element or none are contiguous whatever their stride") {
  int value = 0;
  REQUIRE(View<int, 2>(&value, {1, 1}, {9, 9}).rows_contiguous());
  REQUIRE(View<int, 2>(&value, {1, 0}, {9, 9}).rows_contiguous());
  REQUIRE_FALSE(View<int, 2>(&value, {1, 2}, {9, 9}).rows_contiguous());
}

TEST_CASE("variables become constants, never the reverse") {
  STATIC_REQUIRE(std::is_convertible_v<View<float, 2>, View<const float, 2>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<View<const float, 2>, View<float, 2>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<View<float, 2>, View<const double, 2>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<View<float, 2>, View<const float, 3>>);

  float memory[8] = {};
  const View<float, 2> variable(memory, {2, 3}, {4, 1});
  const View<const float, 2> constant = variable;
  REQUIRE(constant.data() == memory);
  REQUIRE(constant.shape() == Shape<2>{2, 3});
  REQUIRE(constant.strides() == Shape<2>{4, 1});
}

TEST_CASE("a view is absent until it is given memory, and stays so as a constant") {
  const View<float, 2> absent;
  REQUIRE_FALSE(absent);
  const View<const float, 2> constant = absent;
  REQUIRE_FALSE(constant);
  REQUIRE(absent.size() == 0);
  // A tensor without elements is there all the same, even where its address is null.
  const View<float, 2> empty(nullptr, {0, 3});
  REQUIRE(empty);
  REQUIRE(View<const float, 2>(empty));
  REQUIRE(empty.size() == 0);
}

TEST_CASE("shapes are written as messages show them") {
  REQUIRE(lion::to_string(Shape<4>{2, 12, 197, 64}) == "[2,12,197,64]");
  REQUIRE(lion::to_string(Shape<2>{-1, 0}) == "[*,0]");
  REQUIRE(lion::to_string(Shape<0>{}) == "[]");
}

TEST_CASE("a wrong shape is named") {
  lion::require_shape<2>("attention", "v", {2, 3}, {2, 3});
  lion::require_shape<2>("attention", "v", {2, 3}, {2, -1});
  require_error<lion::ArgumentError>(
      [] {
        lion::require_shape<4>("attention", "v", {2, 12, 196, 64}, {2, 12, 197, -1}, " to match k");
      },
      "attention: v has shape [2,12,196,64], expected [2,12,197,*] to match k");
  // An extent below zero matches nothing, not even "anything".
  require_error<lion::ArgumentError>([] { lion::require_shape<1>("f", "x", {-3}, {-1}); },
                                     "f: x has shape [*], expected [*]");
}
