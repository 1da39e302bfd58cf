#include "lion/feature/feature.hpp"

#include <cmath>
#include <random>
#include <vector>

#include "support/catch.hpp"

using namespace lion;

namespace {

std::vector<double> values(Index n, double scale = 2) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::vector<double> x(static_cast<std::size_t>(n));
  for (double& v : x) v = scale * (static_cast<double>(random()) / 2147483648.0 - 1);
  return x;
}

/// φ by its definition, in long double.
template <class F>
std::vector<long double> defined(const std::vector<double>& x) {
  std::vector<long double> y;
  long double norm = 0;
  for (const double v : x) {
    const long double e = std::exp(static_cast<long double>(-v));
    if constexpr (std::same_as<F, feature::ShiftedElu>) y.push_back(v > 0 ? v + 1.0L : 1 / e);
    if constexpr (std::same_as<F, feature::NormalisedShiftedSilu>) y.push_back(v / (1 + e) + 0.5L);
    if constexpr (std::same_as<F, feature::Identity>) y.push_back(v);
    norm += y.back() * y.back();
  }
  if constexpr (std::same_as<F, feature::NormalisedShiftedSilu>) {
    for (long double& v : y) v /= std::sqrt(norm);
  }
  return y;
}

template <class F, class A>
void check_forward(double tolerance) {
  for (const Index n : {1, 3, 16, 64, 257, 600}) {
    const std::vector<double> x = values(n, 9);
    std::vector<A> in(x.begin(), x.end()), out(x.size(), std::nanf(""));
    const std::vector<double> rounded(in.begin(), in.end());
    F::forward(in.data(), out.data(), n);
    F::forward(in.data(), in.data(), n);
    REQUIRE(in == out);
    const auto expected = defined<F>(rounded);
    for (std::size_t i = 0; i < out.size(); ++i) {
      REQUIRE(std::abs(static_cast<long double>(out[i]) - expected[i]) <= tolerance * std::max(1.0L, expected[i]));
    }
  }
}

template <class F>
void check_backward() {
  for (const Index n : {1, 3, 16, 257, 600}) {
    const std::vector<double> x = values(n), dy = values(n, 1);
    std::vector<double> dx(x.size(), std::nan("")), in_place = dy;
    F::backward(x.data(), dy.data(), dx.data(), n);
    F::backward(x.data(), in_place.data(), in_place.data(), n);
    REQUIRE(in_place == dx);
    const double step = 1e-5;
    const auto along = [&](std::size_t i, double by) {
      std::vector<double> moved = x, y(x.size());
      moved[i] += by;
      F::forward(moved.data(), y.data(), n);
      double sum = 0;
      for (std::size_t j = 0; j < y.size(); ++j) sum += y[j] * dy[j];
      return sum;
    };
    for (std::size_t i = 0; i<x.size(); i += x.size()> 20 ? 37 : 1) {
      REQUIRE(dx[i] == Approx((along(i, step) - along(i, -step)) / (2 * step)).epsilon(1e-6).margin(1e-9));
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("feature maps are what math.md §5 says, also in place", "", feature::ShiftedElu,
                   feature::NormalisedShiftedSilu, feature::Identity) {
  check_forward<TestType, double>(1e-14);
  check_forward<TestType, float>(3e-7);
}

TEMPLATE_TEST_CASE("gradients of feature maps are those of finite differences, also in place", "", feature::ShiftedElu,
                   feature::NormalisedShiftedSilu, feature::Identity) {
  check_backward<TestType>();
}

TEST_CASE("feature maps of extreme values are finite") {
  for (const float x : {-1e30f, -200.0f, 200.0f, 1e15f}) {
    const std::vector<float> in(20, x), dy(20, 1.0f);
    std::vector<float> y(20), dx(20);
    feature::ShiftedElu::forward(in.data(), y.data(), 20);
    for (const float v : y) REQUIRE((std::isfinite(v) && v >= 0));
    feature::NormalisedShiftedSilu::forward(in.data(), y.data(), 20);
    for (const float v : y) REQUIRE(v == Approx(1 / std::sqrt(20.0)).epsilon(1e-6));
    feature::NormalisedShiftedSilu::backward(in.data(), dy.data(), dx.data(), 20);
    for (const float v : dx) REQUIRE(std::isfinite(v));
  }
}
