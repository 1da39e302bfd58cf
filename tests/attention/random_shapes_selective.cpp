#include "attention/random_shapes.hpp"

TEST_CASE("the selective mask over random shapes") {
  lion::test::require_random_shapes_of_every_kind<lion::mask::Selective>();
}
