#include "attention/golden.hpp"

TEST_CASE("goldens of the linear mask, float") { lion::test::require_goldens<float, lion::mask::Linear>(); }
TEST_CASE("goldens of the linear mask, double") { lion::test::require_goldens<double, lion::mask::Linear>(); }
