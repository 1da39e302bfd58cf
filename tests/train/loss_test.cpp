#include <cmath>
#include <limits>
#include <vector>

#include "lion/core/tensor.hpp"
#include "lion/train/accuracy.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/random.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::ArgumentError;
using lion::Index;
using lion::Tensor;
using lion::View;
using namespace lion::train;

namespace {

template <class S>
Tensor<S, 2> random_logits(Index B, Index K, std::uint64_t seed, double size) {
  Tensor<S, 2> logits({B, K});
  Random random(seed);
  for (Index i = 0; i < B * K; ++i) logits.data()[i] = static_cast<S>(size * random.normal());
  return logits;
}

template <class S>
View<const S, 2> constant(const Tensor<S, 2>& x) {
  return x.view();
}

}  // namespace

TEST_CASE("the cross-entropy of equal logits is log K, whatever the smoothing") {
  Tensor<float, 2> logits({3, 5});
  logits.fill(12.5f);
  const std::vector<Index> labels{0, 4, 2};
  REQUIRE(cross_entropy<float>(logits.view(), labels) == Approx(std::log(5.0)).epsilon(1e-15));
  REQUIRE(cross_entropy<float>(logits.view(), labels, {}, 0.3) == Approx(std::log(5.0)).epsilon(1e-15));
}

TEST_CASE("the cross-entropy of two classes is a softplus, smoothing adds its mirror") {
  Tensor<double, 2> logits({1, 2});
  logits(0, 1) = 3;
  const std::vector<Index> label{1};
  const double right = std::log1p(std::exp(-3.0)), wrong = std::log1p(std::exp(3.0));
  Tensor<double, 2> gradient({1, 2});
  REQUIRE(cross_entropy<double>(logits.view(), label) == Approx(right).epsilon(1e-14));
  REQUIRE(cross_entropy<double>(logits.view(), label, gradient.view(), 0.2) ==
          Approx(0.9 * right + 0.1 * wrong).epsilon(1e-14));
  const double p = 1 / (1 + std::exp(-3.0));
  REQUIRE(gradient(0, 1) == Approx(p - 0.9).epsilon(1e-13));
  REQUIRE(gradient(0, 0) == Approx(0.9 - p).epsilon(1e-13));
}

TEST_CASE("logits far from zero do not overflow") {
  Tensor<float, 2> logits({2, 3});
  for (Index k = 0; k < 3; ++k) {
    logits(0, k) = 1e30f * static_cast<float>(k);
    logits(1, k) = -1e30f;
  }
  Tensor<float, 2> gradient({2, 3});
  const std::vector<Index> labels{2, 1};
  REQUIRE(cross_entropy<float>(logits.view(), labels, gradient.view()) == Approx(std::log(3.0) / 2).epsilon(1e-14));
  REQUIRE(gradient(0, 2) == 0.0f);
  REQUIRE(gradient(1, 1) == Approx((1.0 / 3 - 1) / 2));
  logits(0, 0) = -std::numeric_limits<float>::infinity();  // a class ruled out
  REQUIRE(std::isfinite(cross_entropy<float>(logits.view(), labels)));
}

TEST_CASE("dlogits is the derivative of the loss") {
  for (double smoothing : {0.0, 0.1, 1.0}) {
    Tensor<double, 2> logits = random_logits<double>(4, 6, 11, 3);
    const std::vector<Index> labels{5, 0, 3, 3};
    Tensor<double, 2> gradient({4, 6});
    cross_entropy<double>(logits.view(), labels, gradient.view(), smoothing);
    for (Index i = 0; i < 24; ++i) {
      constexpr double h = 1e-5;
      const double x = logits.data()[i];
      logits.data()[i] = x + h;
      const double above = cross_entropy<double>(logits.view(), labels, {}, smoothing);
      logits.data()[i] = x - h;
      const double below = cross_entropy<double>(logits.view(), labels, {}, smoothing);
      logits.data()[i] = x;
      REQUIRE(std::abs((above - below) / (2 * h) - gradient.data()[i]) < 1e-10);
    }
  }
}

TEST_CASE("losses and gradients of micro-batches add up to those of their step, whatever their sizes and threads") {
  constexpr Index kRows = 11, kClasses = 7;
  const Tensor<float, 2> logits = random_logits<float>(kRows, kClasses, 5, 2);
  const std::vector<Index> labels{0, 3, 6, 2, 2, 1, 5, 4, 0, 6, 3};
  Tensor<float, 2> whole({kRows, kClasses}), parts({kRows, kClasses}), threaded({kRows, kClasses});
  const double loss = cross_entropy<float>(logits.view(), labels, whole.view(), 0.1);
  double sum = 0;
  Index first = 0;
  for (const Index n : {1, 7, 0, 3}) {  // one without a labelled row
    const View<const float, 2> some(logits.view().at(first), {n, kClasses});
    sum += cross_entropy<float>(some, std::span(labels).subspan(static_cast<std::size_t>(first), std::size_t(n)),
                                View<float, 2>(parts.view().at(first), {n, kClasses}), 0.1, {}, kRows);
    first += n;
  }
  REQUIRE(first == kRows);
  REQUIRE(sum == Approx(loss).epsilon(1e-14));
  lion::ThreadPool pool(3);
  REQUIRE(cross_entropy<float>(logits.view(), labels, threaded.view(), 0.1, pool) == loss);
  for (Index i = 0; i < kRows * kClasses; ++i) {
    REQUIRE(parts.data()[i] == whole.data()[i]);
    REQUIRE(threaded.data()[i] == whole.data()[i]);
  }
}

TEST_CASE("cross_entropy says what is wrong and writes nothing") {
  Tensor<float, 2> logits({2, 3}), gradient({2, 3}), misshapen({2, 4}), empty({0, 3});
  gradient.fill(7);
  const auto labelled = [&](std::vector<Index> labels, View<float, 2> dlogits, double smoothing) {
    return [&logits, labels, dlogits, smoothing] { cross_entropy<float>(logits.view(), labels, dlogits, smoothing); };
  };
  require_error<ArgumentError>(labelled({0, 3}, gradient.view(), 0),
                               "cross_entropy: labels[1] is 3, expected a value in [0, 3)");
  require_error<ArgumentError>(labelled({-100, 0}, gradient.view(), 0),
                               "cross_entropy: labels[0] is -100, expected a value in [0, 3)");
  require_error<ArgumentError>(labelled({0}, gradient.view(), 0),
                               "cross_entropy: labels has shape [1], expected [2] to match logits");
  require_error<ArgumentError>(labelled({0, 1}, misshapen.view(), 0),
                               "cross_entropy: dlogits has shape [2,4], expected [2,3] to match logits");
  require_error<ArgumentError>(labelled({0, 1}, gradient.view(), 1.5),
                               "cross_entropy: label_smoothing is 1.500000, expected a value in [0, 1]");
  require_error<ArgumentError>(
      [&] {
        const std::vector<Index> two{0, 1};
        cross_entropy<float>(logits.view(), two, gradient.view(), 0, {}, 1);
      },
      "cross_entropy: rows is 1, expected 0 or at least the 2 rows of logits");
  require_error<ArgumentError>([&] { cross_entropy<float>(constant(empty), {}); },
                               "cross_entropy: logits has shape [0,3], expected at least one row and one class");
  for (Index i = 0; i < 6; ++i) REQUIRE(gradient.data()[i] == 7);
}

TEST_CASE("top-1 counts rows whose largest logit is the label's, the first of equals") {
  Tensor<float, 2> logits({3, 3});
  logits(0, 2) = 1;
  logits(1, 0) = -1;
  logits(1, 1) = logits(1, 2) = 4;
  logits(2, 1) = -1;
  REQUIRE(predictions(constant(logits)) == std::vector<Index>{2, 1, 0});
  const std::vector<Index> labels{2, 2, 0};
  REQUIRE(count_correct(constant(logits), std::span<const Index>(labels)) == 2);
  require_error<ArgumentError>([&] { count_correct(constant(logits), {}); },
                               "count_correct: labels has shape [0], expected [3] to match logits");
}
