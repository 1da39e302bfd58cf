#include "attention/allocation.hpp"

TEST_CASE("nothing is allocated after the door, selective mask, float") {
  lion::test::require_no_allocation<float, lion::mask::Selective>();
}
TEST_CASE("nothing is allocated after the door, selective mask, double") {
  lion::test::require_no_allocation<double, lion::mask::Selective>();
}
TEST_CASE("nothing is allocated after the door, selective mask, bfloat16") {
  lion::test::require_no_allocation<lion::bfloat16, lion::mask::Selective>();
}
