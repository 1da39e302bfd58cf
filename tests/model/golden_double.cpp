#include "golden.hpp"

TEST_CASE("vision models agree with the golden files in every form, float64") { golden::check_all<double>(1e-9); }
