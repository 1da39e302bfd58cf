#include "attention/golden.hpp"

TEST_CASE("goldens of the selective mask, float") { lion::test::require_goldens<float, lion::mask::Selective>(); }
TEST_CASE("goldens of the selective mask, double") { lion::test::require_goldens<double, lion::mask::Selective>(); }
