#include "golden.hpp"

TEST_CASE("vision models agree with the golden files in every form, float32") { golden::check_all<float>(1e-4); }
