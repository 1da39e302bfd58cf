#pragma once
/// Catch2, 2.13 or 3: TEST_CASE, SECTION, REQUIRE…, `Approx`, and the matchers that both have under one name
/// (`Catch::Matchers::Equals`, `WithinAbs`, `WithinRel`).

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
