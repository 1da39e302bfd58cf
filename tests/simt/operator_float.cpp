#include "simt/operator.hpp"

using namespace lion;

TEST_CASE("kernels of a decay per token, float, emulated") {
  test::require_operator<float, mask::Selective, normalise::RowSum, direction::Both>(1);
}

TEST_CASE("kernels of causal linear attention, float, emulated") {
  test::require_operator<float, mask::Linear, normalise::RowSum, direction::Forward>(2);
}

TEST_CASE("no order of threads changes a bit") {
  test::Random random(3);
  const test::Problem p = random_problem(random, {1, 2, 1, 130, 20, 33}, mask::DecayKind::per_token, false, {});
  const auto op = test::operator_for<mask::Selective, normalise::RowSum, direction::Both>(p, form::Chunk{64});
  const test::Answer first = run_emulated_backward<float>(op, p, false);
  for (unsigned seed = 1; seed < 4; ++seed) {
    const test::Answer other = run_emulated_backward<float>(op, p, false, {test::Layout::dense, seed, seed % 2 == 0});
    REQUIRE(other.y == first.y);
    REQUIRE(other.row_sum == first.row_sum);
    REQUIRE(other.dq == first.dq);
    REQUIRE(other.dk == first.dk);
    REQUIRE(other.dv == first.dv);
    REQUIRE(other.dlog_lambda == first.dlog_lambda);
  }
}
