#include "attention/allocation.hpp"

TEST_CASE("nothing is allocated after the door, decay mask, float") {
  lion::test::require_no_allocation<float, lion::mask::Decay>();
}
TEST_CASE("nothing is allocated after the door, decay mask, double") {
  lion::test::require_no_allocation<double, lion::mask::Decay>();
}
TEST_CASE("nothing is allocated after the door, decay mask, bfloat16") {
  lion::test::require_no_allocation<lion::bfloat16, lion::mask::Decay>();
}
