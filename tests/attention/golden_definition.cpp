#include "attention/golden.hpp"

// The dense definition of these tests against the goldens, so that what else is measured with it rests on them too.
TEST_CASE("the tests' dense definition agrees with every golden") {
  using namespace lion::test;
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LION_GOLDEN_DIR)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("op-")) continue;
    INFO(name);
    ++seen;
    const Golden g = read_golden(entry.path());
    if (g.problem.dims.L > 300) continue;
    Answer a = dense_answer(g.problem);
    for (std::size_t r = 0; r < a.dlog_lambda.size(); ++r) {
      const std::size_t size = g.answer.dlog_lambda[r].size();
      if (size == static_cast<std::size_t>(g.problem.dims.H))
        a.dlog_lambda[r] = per_head(a.dlog_lambda[r], g.problem.dims);
      if (size == 0) a.dlog_lambda[r].clear();
    }
    require_golden(a, g, {1e-12, 1e-11});
    CHECK(norm(a.fixed_dq) == Approx(g.yardstick_dq).epsilon(1e-6));
    CHECK(norm(a.fixed_dk) == Approx(g.yardstick_dk).epsilon(1e-6));
  }
  REQUIRE(seen > 0);
}
