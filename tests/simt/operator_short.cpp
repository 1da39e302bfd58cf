#include "simt/operator.hpp"

using namespace lion;

TEST_CASE("kernels on tensor cores, bfloat16, emulated") {
  test::require_operator<bfloat16, mask::Selective, normalise::RowSum, direction::Both>(1);
}

TEST_CASE("kernels on tensor cores, half, with a gate of the user's own, emulated") {
  test::require_operator<half, test::Gated, normalise::None, direction::Backward>(2);
}

// Sums of 300 products of up to 2^13 are beyond half's 65504: states in half carry a power of two beside them.
TEST_CASE("states of half beyond half's range, emulated") {
  test::Random random(3);
  test::Problem p = random_problem(random, {1, 1, 1, 300, 32, 32}, mask::DecayKind::none, false, {});
  for (double& x : p.k) x *= 100;
  for (double& x : p.v) x *= 100;
  for (double& x : p.q) x *= 0.001;
  p = test::rounded<half>(p);
  const auto op = test::operator_for<mask::Linear, normalise::RowSum, direction::Both>(p, form::Chunk{64});
  REQUIRE(test::relative_error(run_emulated<half>(op, p).y, dense_answer(p).y) <= test::limits<half>().outputs);
}

// A state that has all but faded is a number all the same: its power of two would be beyond float's largest.
TEST_CASE("states of bfloat16 near float's smallest, emulated") {
  test::Random random(4);
  test::Problem p = random_problem(random, {1, 1, 1, 130, 8, 8}, mask::DecayKind::per_token, false, {});
  p.log_lambda[0].assign(p.log_lambda[0].size(), -80.0);
  p = test::rounded<bfloat16>(p);
  const auto op = test::operator_for<mask::Selective, normalise::RowSum, direction::Both>(p, form::Chunk{64});
  REQUIRE(test::relative_error(run_emulated<bfloat16>(op, p).y, dense_answer(p).y) <= test::limits<bfloat16>().outputs);
}

// Padding at the start, which the first rows see nothing but: their weights in dn' are 1/ε.
TEST_CASE("gradients of half behind a padded prefix") {
  test::Random random(6);
  test::RandomOptions o{true, true, false};
  test::Problem p = random_problem(random, {1, 1, 1, 200, 32, 32}, mask::DecayKind::none, false, o);
  p.epsilon = 1e-6;
  p.orders = {{}};
  p.key_mask.assign(200, 1);
  std::fill_n(p.key_mask.begin(), 8, 0);
  p = test::rounded<half>(p);
  const test::Answer wanted = dense_answer(p);
  const auto check = [&](auto form) {
    const auto op = test::operator_for<mask::Linear, normalise::RowSum, direction::Forward>(p, form);
    test::require_close<mask::Linear>(run_emulated_backward<half>(op, p, true), wanted, p.dims, test::limits<half>());
  };
  check(form::Full{});
  check(form::Chunk{64});
}

// Rows' sums of 10^5: their weights in dn are below half's smallest normal number, and are kept in units of a power of
// two. The gradients themselves are not small: dy is scaled, as in training.
TEST_CASE("gradients of half where upstream weights are beyond half's range") {
  test::Random random(5);
  test::Problem p = random_problem(random, {1, 1, 1, 200, 32, 32}, mask::DecayKind::per_head, false, {});
  for (double& x : p.k) x *= 100;
  for (double& x : p.dy) x *= 4096;
  p.log_lambda[0].assign(p.log_lambda[0].size(), -0.001);
  p = test::rounded<half>(p);
  const test::Answer wanted = dense_answer(p);
  for (const bool keep : {false, true}) {
    const auto op = test::operator_for<mask::Decay, normalise::RowSum, direction::Both>(p, form::Chunk{64});
    test::require_close<mask::Decay>(run_emulated_backward<half>(op, p, keep), wanted, p.dims, test::limits<half>());
  }
}
