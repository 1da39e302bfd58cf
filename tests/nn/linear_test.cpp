#include "lion/nn/linear.hpp"

#include "differences.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;

TEST_CASE("y = x Wᵀ + b (+ residual), at sizes around the panels and strips") {
  for (const auto& [n, in, out] : {Shape<3>{1, 1, 1},
                                   {1, 7, 3},
                                   {3, 129, 5},
                                   {130, 3, 257},
                                   {257, 65, 131},
                                   {5, 300, 1},
                                   {525, 400, 70},
                                   {20, 1600, 70},
                                   {3, 0, 70}}) {
    nn::Linear<double> layer("l", in, out);
    fill(layer, 1, 1);
    const auto x = tensor<double, 2>({n, in}, 3);
    const auto residual = tensor<double, 2>({n, out}, 4);
    Tensor<double, 2> y({n, out});
    y.fill(std::nan(""));
    layer.forward(x, y, {});
    Tensor<double, 2> sum = residual.clone(), apart({n, out});
    layer.forward(x, sum, {}, sum);
    layer.forward(x, apart, {}, residual);
    for (Index t = 0; t < n; ++t) {
      for (Index o = 0; o < out; ++o) {
        double expected = layer.bias.value(o);
        for (Index i = 0; i < in; ++i) expected += x(t, i) * layer.weight.value(o * in + i);
        REQUIRE(y(t, o) == Approx(expected).epsilon(1e-12).margin(1e-12));
        REQUIRE(sum(t, o) == Approx(expected + residual(t, o)).epsilon(1e-12).margin(1e-12));
        REQUIRE(apart(t, o) == sum(t, o));
      }
    }
  }
}

TEST_CASE("gradients of a linear layer, added to what is there") {
  for (const auto& [n, in, out] : {Shape<3>{1, 1, 1}, {1, 5, 3}, {131, 7, 13}, {40, 131, 129}}) {
    nn::Linear<double> layer("l", in, out);
    fill(layer, 1, 1);
    auto x = tensor<double, 2>({n, in}, 3);
    const auto dy = tensor<double, 2>({n, out}, 4);
    Tensor<double, 2> y({n, out}), dx({n, in});
    const auto f = [&] {
      layer.forward(x, y, {});
      return inner(y, dy);
    };
    dx.fill(std::nan(""));
    layer.backward_input(dy, dx, {});
    layer.backward_weights(dy, x, {});
    require_gradient("x", x.data(), x.size(), dx.data(), f);
    require_parameter_gradients(layer, f);
    const double before = layer.weight.grad(0), bias = layer.bias.grad(0), first = dx(0, 0);
    layer.backward_weights(dy, x, {});
    layer.backward_input(dy, dx, {}, true);
    REQUIRE(layer.weight.grad(0) == Approx(2 * before));
    REQUIRE(layer.bias.grad(0) == Approx(2 * bias));
    REQUIRE(dx(0, 0) == Approx(2 * first));
  }
}

TEST_CASE("gradients of a linear layer at sizes of several parts, strips and tiles") {
  for (const auto& [n, in, out] : {Shape<3>{200, 96, 129}, {520, 65, 400}, {1030, 150, 50}, {30, 520, 520}}) {
    nn::Linear<double> layer("l", in, out);
    fill(layer, 1, 1);
    const auto x = tensor<double, 2>({n, in}, 3), dy = tensor<double, 2>({n, out}, 4);
    Tensor<double, 2> dx({n, in});
    dx.fill(std::nan(""));
    layer.backward_input(dy, dx, {});
    layer.backward_weights(dy, x, {});
    double worst = 0;
    for (Index t = 0; t < n; t += 7) {
      for (Index i = 0; i < in; ++i) {
        double expected = 0;
        for (Index o = 0; o < out; ++o) expected += dy(t, o) * layer.weight.value(o * in + i);
        worst = (std::max)(worst, std::abs(dx(t, i) - expected));
      }
    }
    for (Index o = 0; o < out; o += 3) {
      for (Index i = 0; i < in; ++i) {
        double expected = 0;
        for (Index t = 0; t < n; ++t) expected += dy(t, o) * x(t, i);
        worst = (std::max)(worst, std::abs(layer.weight.grad(o * in + i) - expected));
      }
    }
    REQUIRE(worst <= 1e-10);
  }
}

TEST_CASE("rows may lie apart; results are the same bits for any number of threads") {
  nn::Linear<float> layer("l", 70, 150);
  fill(layer, 1, 1);
  const auto x = tensor<float, 2>({300, 90}, 3);
  const View<const float, 2> part(x.data(), {300, 70}, {90, 1});
  Tensor<float, 2> y({300, 150}), again({300, 150});
  layer.forward(part, y, {});
  for (Index t = 0; t < 300; ++t) {
    for (Index o = 0; o < 150; ++o) {
      double expected = layer.bias.value(o);
      for (Index i = 0; i < 70; ++i) expected += static_cast<double>(part(t, i)) * layer.weight.value(o * 70 + i);
      REQUIRE(y(t, o) == Approx(expected).epsilon(1e-5).margin(1e-5));
    }
  }
  layer.backward_weights(y, part, {});
  const auto weight = layer.weight.grad.clone(), bias = layer.bias.grad.clone();
  for (const Index threads : {2, 3}) {
    ThreadPool pool(threads);
    layer.weight.grad.fill(0);
    layer.bias.grad.fill(0);
    layer.forward(part, again, pool);
    layer.backward_weights(y, part, pool);
    REQUIRE(std::equal(y.data(), y.data() + y.size(), again.data()));
    REQUIRE(std::equal(weight.data(), weight.data() + weight.size(), layer.weight.grad.data()));
    REQUIRE(std::equal(bias.data(), bias.data() + bias.size(), layer.bias.grad.data()));
  }
}

TEST_CASE("shapes that do not fit are refused") {
  const nn::Linear<float> layer("l", 3, 2);
  Tensor<float, 2> x({4, 3}), wrong({4, 5}), y({4, 2});
  require_error<ArgumentError>([&] { layer.forward(wrong, y, {}); }, "linear: x has shape [4,5], expected [4,3]");
  require_error<ArgumentError>([&] { layer.forward(x, wrong, {}); }, "linear: y has shape [4,5], expected [4,2]");
}

TEST_CASE("an engine holds no gradients until it trains") {
  nn::Linear<float> layer("l", 3, 2);
  REQUIRE(layer.weight.grad.size() == 0);
  layer.weight.make_grad();
  REQUIRE(layer.weight.grad.size() == 6);
  layer.weight.grad(1) = 5;
  layer.weight.make_grad();
  REQUIRE(layer.weight.grad(1) == 5);
  REQUIRE(layer.weight.decay);
  REQUIRE_FALSE(layer.bias.decay);
}
