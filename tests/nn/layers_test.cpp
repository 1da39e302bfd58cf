#include "differences.hpp"
#include "lion/nn/layer_norm.hpp"
#include "lion/nn/mlp.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;

TEST_CASE("LayerNorm gives mean bias and deviation weight") {
  for (const auto& [n, width] : {Shape<2>{1, 1}, {1, 2}, {3, 7}, {130, 65}}) {
    nn::LayerNorm<double> layer("norm", width);
    fill(layer, 1, 1);
    const auto x = tensor<double, 2>({n, width}, 3, 4);
    Tensor<double, 2> y({n, width}), in_place = x.clone();
    layer.forward(x, y, {});
    layer.forward(in_place, in_place, {});
    for (Index t = 0; t < n; ++t) {
      double mean = 0, square = 0;
      for (Index c = 0; c < width; ++c) mean += x(t, c) / static_cast<double>(width);
      for (Index c = 0; c < width; ++c) square += (x(t, c) - mean) * (x(t, c) - mean) / static_cast<double>(width);
      for (Index c = 0; c < width; ++c) {
        const double normal = (x(t, c) - mean) / std::sqrt(square + 1e-6);
        REQUIRE(y(t, c) == Approx(normal * layer.weight.value(c) + layer.bias.value(c)).epsilon(1e-12).margin(1e-12));
        REQUIRE(in_place(t, c) == y(t, c));
      }
    }
  }
}

TEST_CASE("gradients of LayerNorm; that of x is added") {
  for (const auto& [n, width] : {Shape<2>{1, 1}, {1, 2}, {3, 7}, {260, 5}}) {
    nn::LayerNorm<double> layer("norm", width, 1e-3);
    fill(layer, 1, 1);
    auto x = tensor<double, 2>({n, width}, 3, 2);
    const auto dy = tensor<double, 2>({n, width}, 4);
    Tensor<double, 2> y({n, width}), statistics({n, 2}), dx({n, width});
    Tensor<double, 1> scratch({layer.backward_scratch(n)});
    scratch.fill(std::nan(""));
    layer.forward(x, y, {}, statistics);
    dx.fill(1);
    layer.backward(dy, x, statistics, dx, scratch.data(), {});
    for (Index i = 0; i < dx.size(); ++i) dx.data()[i] -= 1;
    const auto f = [&] {
      layer.forward(x, y, {});
      return inner(y, dy);
    };
    require_gradient("x", x.data(), x.size(), dx.data(), f);
    require_parameter_gradients(layer, f);
  }
  const nn::LayerNorm<double> layer("norm", 4);
  Tensor<double, 2> wrong({2, 3});
  require_error<ArgumentError>([&] { layer.forward(wrong, wrong, {}); },
                               "layer_norm: x has shape [2,3], expected [2,4]");
}

TEST_CASE("GELU is x Φ(x), and its derivative, in both types") {
  std::vector<double> x;
  for (double v = -9; v <= 9; v += 0.0137) x.push_back(v);
  x.insert(x.end(), {0.0, -0.0, 30.0, -30.0, 1e6, -1e6});
  const auto n = static_cast<Index>(x.size());
  std::vector<double> y(x.size()), slope(x.size());
  nn::gelu(x.data(), y.data(), slope.data(), n);
  std::vector<float> xf(x.begin(), x.end()), yf(x.size()), slopef(x.size()), only(x.size());
  nn::gelu(xf.data(), yf.data(), slopef.data(), n);
  nn::gelu(xf.data(), only.data(), static_cast<float*>(nullptr), n);
  REQUIRE(only == yf);
  const auto normal = [](double v) { return std::exp(-v * v / 2) / std::sqrt(2 * std::numbers::pi); };
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(x[i]);
    const double below = 0.5 * (1 + std::erf(x[i] / std::sqrt(2.0)));
    REQUIRE(y[i] == Approx(x[i] * below).epsilon(1e-14).margin(1e-14));
    REQUIRE(slope[i] == Approx(below + x[i] * normal(x[i])).epsilon(1e-14).margin(1e-14));
    const double at = xf[i], tail = 0.5 * std::erfc(-at / std::sqrt(2.0));
    REQUIRE(std::abs(yf[i] - at * tail) <= 1.5e-7 * std::max(1.0, std::abs(at)));
    REQUIRE(std::abs(slopef[i] - (tail + at * normal(at))) <= 4e-7);
  }
}

TEST_CASE("the MLP in blocks of tokens is the MLP that trains, and its gradients are right") {
  for (const auto& [n, width, hidden] : {Shape<3>{1, 1, 1}, {3, 5, 7}, {300, 6, 11}, {650, 2, 3}}) {
    nn::Mlp<double> mlp("mlp", width, hidden);
    fill(mlp, 1, 1);
    auto x = tensor<double, 2>({n, width}, 3);
    const auto dy = tensor<double, 2>({n, width}, 4), residual = tensor<double, 2>({n, width}, 5);
    Tensor<double, 2> y({n, width}), blocked = residual.clone(), dx({n, width});
    Tensor<double, 2> before({n, hidden}), activated({n, hidden}), dhidden({n, hidden});
    Tensor<double, 1> scratch({mlp.scratch_size(n)});
    REQUIRE(mlp.scratch_size(n) <= mlp.scratch_size(n + 1));
    const nn::PlacedRandom random(7, 1);
    mlp.forward(x, blocked, blocked, scratch.data(), {});
    mlp.forward_train(x, y, before, activated, 0, random, {});
    for (Index i = 0; i < y.size(); ++i) {
      REQUIRE(blocked.data()[i] == Approx(y.data()[i] + residual.data()[i]).epsilon(1e-12).margin(1e-12));
    }
    for (const double p : {0.0, 0.4}) {  // the mask is drawn again alike, so differences see the dropped function
      fill(mlp, 1, 1);
      mlp.for_each_parameter([](auto& parameter) { parameter.grad.fill(0); });
      mlp.forward_train(x, y, before, activated, p, random, {});
      mlp.backward(dy, x, before, activated, dhidden, dx, p, random, {});
      const auto f = [&] {
        mlp.forward_train(x, y, before, activated, p, random, {});
        return inner(y, dy);
      };
      require_gradient("x", x.data(), x.size(), dx.data(), f);
      require_parameter_gradients(mlp, f);
    }
  }
}

TEST_CASE("dropout keeps the mean, drop-path drops whole samples, both by seed alone") {
  const nn::PlacedRandom random(5, 2);
  Tensor<double, 2> x({400, 10}), again({400, 10});
  x.fill(1);
  again.fill(1);
  nn::dropout<double>(x, 0.25, random, {});
  ThreadPool pool(3);
  nn::dropout<double>(again, 0.25, random, pool);
  REQUIRE(std::equal(x.data(), x.data() + x.size(), again.data()));
  double sum = 0;
  for (Index i = 0; i < x.size(); ++i) {
    REQUIRE((x.data()[i] == 0 || x.data()[i] == Approx(1 / 0.75)));
    sum += x.data()[i];
  }
  REQUIRE(sum / 4000 == Approx(1).margin(0.05));
  x.fill(1);
  nn::drop_path<double>(x, 4, 0.25, random, {});
  sum = 0;
  for (Index t = 0; t < 400; ++t) {
    for (Index c = 0; c < 10; ++c) {
      REQUIRE(x(t, c) == x(t / 4 * 4, 0));
      sum += x(t, c);
    }
  }
  REQUIRE((sum != 0 && sum / 4000 == Approx(1).margin(0.2)));
  x.fill(3);
  nn::dropout<double>(x, 0, random, {});
  nn::drop_path<double>(x, 4, 0, random, {});
  REQUIRE(x(7, 7) == 3);
}

TEST_CASE("random numbers by place: uniform, of their seed and stream alone") {
  const nn::PlacedRandom a(1, 0), b(1, 1);
  REQUIRE(a.bits(3) == nn::PlacedRandom(1, 0).bits(3));
  REQUIRE(a.bits(3) != b.bits(3));
  REQUIRE(a.stream(1).bits(0) != a.stream(2).bits(0));
  nn::Parameter<double> p("p", {20000}, true);
  nn::truncated_normal(p, 0.02, a);
  double sum = 0, square = 0;
  for (Index i = 0; i < p.size(); ++i) {
    REQUIRE(std::abs(p.value(i)) <= 0.04);
    sum += p.value(i);
    square += p.value(i) * p.value(i);
  }
  REQUIRE(std::abs(sum / 20000) < 5e-4);
  REQUIRE(std::sqrt(square / 20000) == Approx(0.02 * 0.8796).epsilon(0.02));  // deviation of a normal cut at 2
  nn::uniform(p, 0.5, a);
  for (Index i = 0; i < p.size(); ++i) REQUIRE((p.value(i) >= -0.5 && p.value(i) < 0.5));
}
