#include "attention/random_shapes.hpp"

TEST_CASE("the linear mask over random shapes") {
  lion::test::require_random_shapes_of_every_kind<lion::mask::Linear>();
}
