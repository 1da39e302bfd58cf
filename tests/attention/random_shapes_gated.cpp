#include "attention/random_shapes.hpp"

TEST_CASE("a mask with a gate over random shapes") {
  using namespace lion;
  test::require_random_shapes<double, test::Gated, normalise::RowSum, direction::Both>(1);
  test::require_random_shapes<double, test::Gated, normalise::None, direction::Forward>(2);
  test::require_random_shapes<float, test::Gated, normalise::RowSum, direction::Both>(3);
}
