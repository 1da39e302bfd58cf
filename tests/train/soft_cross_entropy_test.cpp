#include "lion/train/soft_cross_entropy.hpp"

#include <limits>
#include <vector>

#include "lion/train/cross_entropy.hpp"
#include "nn/differences.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train;

TEST_CASE("soft targets: of labels they are the cross-entropy, of two labels its mixture") {
  const Tensor<double, 2> logits = nn_test::tensor<double, 2>({3, 5}, 4, 2);
  const std::vector<Index> a{0, 4, 2}, b{1, 4, 0};
  Tensor<double, 2> targets({3, 5}), gradient({3, 5}), expected({3, 5});
  for (Index row = 0; row < 3; ++row) {
    targets(row, a[static_cast<std::size_t>(row)]) += 0.3;
    targets(row, b[static_cast<std::size_t>(row)]) += 0.7;
  }
  const double loss = soft_cross_entropy<double>(logits.view(), targets.view(), gradient.view());
  const double of_a = cross_entropy<double>(logits.view(), a), of_b = cross_entropy<double>(logits.view(), b);
  REQUIRE(loss == Approx(0.3 * of_a + 0.7 * of_b).epsilon(1e-14));
  Tensor<double, 2> moved = logits.clone();
  const Tensor<double, 2>& constant_targets = targets;
  nn_test::require_gradient("logits", moved.data(), 15, gradient.data(),
                            [&] { return soft_cross_entropy<double>(moved.view(), constant_targets.view()); });
  targets.fill(0);
  for (Index row = 0; row < 3; ++row) targets(row, a[static_cast<std::size_t>(row)]) = 1;
  REQUIRE(soft_cross_entropy<double>(logits.view(), constant_targets.view(), gradient.view()) ==
          Approx(of_a).epsilon(1e-14));
  cross_entropy<double>(logits.view(), a, expected.view());
  for (Index i = 0; i < 15; ++i) REQUIRE(gradient.data()[i] == Approx(expected.data()[i]).epsilon(1e-13));

  gradient.fill(7);
  targets(2, 1) = -0.5;
  require_error<ArgumentError>(
      [&] { soft_cross_entropy<double>(logits.view(), constant_targets.view(), gradient.view()); },
      "soft_cross_entropy: targets[2,1] is -0.500000, expected a finite value of at least 0");
  targets(2, 1) = std::numeric_limits<double>::infinity();
  require_error<ArgumentError>(
      [&] { soft_cross_entropy<double>(logits.view(), constant_targets.view(), gradient.view()); },
      "soft_cross_entropy: targets[2,1] is inf, expected a finite value of at least 0");
  const Tensor<double, 2> narrow({3, 4});
  require_error<ArgumentError>([&] { soft_cross_entropy<double>(logits.view(), narrow.view(), gradient.view()); },
                               "soft_cross_entropy: targets has shape [3,4], expected [3,5] to match logits");
  for (Index i = 0; i < 15; ++i) REQUIRE(gradient.data()[i] == 7);
}
