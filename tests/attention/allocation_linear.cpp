#include "attention/allocation.hpp"

TEST_CASE("nothing is allocated after the door, linear mask, float") {
  lion::test::require_no_allocation<float, lion::mask::Linear>();
}
TEST_CASE("nothing is allocated after the door, linear mask, double") {
  lion::test::require_no_allocation<double, lion::mask::Linear>();
}
TEST_CASE("nothing is allocated after the door, linear mask, bfloat16") {
  lion::test::require_no_allocation<lion::bfloat16, lion::mask::Linear>();
}
