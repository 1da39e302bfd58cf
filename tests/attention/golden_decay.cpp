#include "attention/golden.hpp"

TEST_CASE("goldens of the decay mask, float") { lion::test::require_goldens<float, lion::mask::Decay>(); }
TEST_CASE("goldens of the decay mask, double") { lion::test::require_goldens<double, lion::mask::Decay>(); }
