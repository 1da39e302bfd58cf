#include <cstdlib>

#include "lion/order/curves.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

TEST_CASE("curves of a 3×3 grid") {
  REQUIRE(order::s_curve(3) == order::Permutation({0, 1, 2, 5, 4, 3, 6, 7, 8}));
  REQUIRE(order::s_curve_transposed(3) == order::Permutation({0, 3, 6, 7, 4, 1, 2, 5, 8}));
  REQUIRE(order::row_major(3, 2) == order::Permutation({0, 1, 2, 3, 4, 5}));
}

TEST_CASE("a step of a curve is a step on the grid, and every token is visited once") {
  for (Index rows = 0; rows < 6; ++rows) {
    for (Index cols = 0; cols < 6; ++cols) {
      for (const auto& curve : {order::s_curve(rows, cols), order::s_curve_transposed(rows, cols)}) {
        REQUIRE(curve.size() == rows * cols);
        REQUIRE(order::is_permutation(curve.span()));
        for (Index i = 1; i < curve.size(); ++i) {
          const Index y = std::abs(curve[i] / cols - curve[i - 1] / cols);
          const Index x = std::abs(curve[i] % cols - curve[i - 1] % cols);
          REQUIRE(y + x == 1);
        }
      }
    }
  }
}

TEST_CASE("down the columns is along the rows of the transposed grid") {
  const Index rows = 4, cols = 7;
  const auto down = order::s_curve_transposed(rows, cols), along = order::s_curve(cols, rows);
  for (Index i = 0; i < rows * cols; ++i) REQUIRE(down[i] == along[i] % rows * cols + along[i] / rows);
}

TEST_CASE("the class token stays first; an inverse undoes") {
  const auto curve = order::with_prefix(order::s_curve(2), 1);
  REQUIRE(curve == order::Permutation({0, 1, 2, 4, 3}));
  REQUIRE(order::with_prefix(order::s_curve(2), 0) == order::s_curve(2));
  const auto wide = order::with_prefix(order::s_curve_transposed(3, 5), 2), back = order::inverse(wide);
  for (Index i = 0; i < wide.size(); ++i) REQUIRE(back[wide[i]] == i);
  REQUIRE(order::inverse(order::Permutation()) == order::Permutation());
}

TEST_CASE("what is no permutation is refused") {
  for (const std::vector<Index>& wrong : {std::vector<Index>{0, 0}, {1, 2}, {-1, 0}}) {
    REQUIRE_FALSE(order::is_permutation(wrong));
    require_error<ArgumentError>([&] { order::Permutation{wrong}; }, "Permutation: order is no permutation of 0 … 1");
  }
  REQUIRE(order::is_permutation({}));
  require_error<ArgumentError>([] { order::s_curve(2, -1); },
                               "s_curve: grid has shape [2,-1], expected no negative extent");
}
