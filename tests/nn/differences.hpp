#pragma once
/// Finite differences of layers in double, over random directions and single entries.

#include <functional>
#include <random>
#include <vector>

#include "lion/nn/parameter.hpp"
#include "support/catch.hpp"

namespace nn_test {

using lion::Index;
using lion::Shape;
using lion::Tensor;

inline std::vector<double> values(Index n, unsigned seed, double scale = 1) {
  std::mt19937 random(seed);
  std::vector<double> x(static_cast<std::size_t>(n));
  for (double& v : x) v = scale * (static_cast<double>(random()) / 2147483648.0 - 1);
  return x;
}

template <class T = double, std::size_t Rank>
Tensor<T, Rank> tensor(const Shape<Rank>& shape, unsigned seed, double scale = 1) {
  Tensor<T, Rank> t(shape);
  const std::vector<double> x = values(t.size(), seed, scale);
  for (Index i = 0; i < t.size(); ++i) t.data()[i] = static_cast<T>(x[static_cast<std::size_t>(i)]);
  return t;
}

template <std::size_t Rank>
double inner(const Tensor<double, Rank>& a, const Tensor<double, Rank>& b) {
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

/// Requires gradient [n] to be the derivative of f with regard to x [n], at some entries and along one direction.
inline void require_gradient(const char* name, double* x, Index n, const double* gradient,
                             const std::function<double()>& f, double step = 1e-5) {
  INFO(name);
  const std::vector<double> at(x, x + n), along = values(n, 99);
  double expected = 0;
  for (Index i = 0; i < n; ++i) expected += gradient[i] * along[static_cast<std::size_t>(i)];
  const auto move = [&](double by) {
    for (Index i = 0; i < n; ++i) {
      x[i] = at[static_cast<std::size_t>(i)] + by * along[static_cast<std::size_t>(i)];
    }
    const double value = f();
    std::copy(at.begin(), at.end(), x);
    return value;
  };
  REQUIRE(expected == Approx((move(step) - move(-step)) / (2 * step)).epsilon(1e-6).margin(1e-8));
  for (Index i = 0; i < n; i += n / 5 + 1) {
    INFO("entry " << i);
    const auto shifted = [&](double by) {
      x[i] = at[static_cast<std::size_t>(i)] + by;
      const double value = f();
      x[i] = at[static_cast<std::size_t>(i)];
      return value;
    };
    REQUIRE(gradient[i] == Approx((shifted(step) - shifted(-step)) / (2 * step)).epsilon(1e-5).margin(1e-8));
  }
}

/// The same for every parameter of a layer; fills them with values first if asked.
template <class Layer>
void require_parameter_gradients(Layer& layer, const std::function<double()>& f) {
  layer.for_each_parameter([&](lion::nn::Parameter<double>& p) {
    require_gradient(p.name.c_str(), p.value.data(), p.size(), p.grad.data(), f);
  });
}

template <class Layer>
void fill(Layer& layer, unsigned seed, double scale) {
  layer.for_each_parameter([&](auto& p) {
    p.make_grad();
    const std::vector<double> x = values(p.size(), seed++, scale);
    for (Index i = 0; i < p.size(); ++i) {
      p.value(i) = static_cast<std::remove_cvref_t<decltype(p.value(i))>>(x[static_cast<std::size_t>(i)]);
    }
  });
}

}  // namespace nn_test
