#include "lion/train/mean_squared_error.hpp"

#include <array>
#include <utility>

#include "lion/core/tensor.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

TEST_CASE("mean squared error and its gradient") {
  const std::array<double, 4> values{1, 2, -3, 0.5}, targets{0, 2, -1, 1};
  const View<const double, 2> x(values.data(), {4, 1}), target(targets.data(), {4, 1});
  Tensor<double, 2> dx({4, 1});
  REQUIRE(train::mean_squared_error<double>(x, target, dx) == Approx((1 + 0 + 4 + 0.25) / 4));
  const std::array<double, 4> expected{0.5, 0, -1, -0.25};
  for (Index i = 0; i < 4; ++i) REQUIRE(dx(i, 0) == Approx(expected[static_cast<std::size_t>(i)]).margin(1e-15));
  Tensor<double, 2> parts({4, 1});  // of micro-batches
  double sum = 0;
  for (const auto& [first, n] : {std::pair<Index, Index>(0, 1), {1, 0}, {1, 3}}) {
    sum += train::mean_squared_error<double>(View<const double, 2>(x.at(first), {n, 1}),
                                             View<const double, 2>(target.at(first), {n, 1}),
                                             View<double, 2>(parts.view().at(first), {n, 1}), 4);
  }
  REQUIRE(sum == Approx((1 + 0 + 4 + 0.25) / 4));
  for (Index i = 0; i < 4; ++i) REQUIRE(parts(i, 0) == dx(i, 0));
  require_error<ArgumentError>([&] { train::mean_squared_error<double>(x, target, {}, 3); },
                               "mean_squared_error: rows is 3, expected 0 or at least the 4 rows of x");
  require_error<ArgumentError>(
      [&] {
        train::mean_squared_error<double>(x, View<const double, 2>(targets.data(), {2, 2}));
      },
      "mean_squared_error: target has shape [2,2], expected [4,1] to match x");
  require_error<ArgumentError>([&] { train::mean_squared_error<double>({}, target); },
                               "mean_squared_error: x has shape [0,0], expected at least one entry");
}
