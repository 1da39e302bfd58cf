#include "differences.hpp"
#include "lion/nn/depthwise_conv.hpp"
#include "lion/nn/rms_norm.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;

namespace {

template <class S>
nn::DepthwiseConv<S> make(Index channels, Index taps, nn::Reach reach) {
  nn::DepthwiseConv<S> conv("conv1d", channels, taps, reach);
  fill(conv, 3, 1);
  return conv;
}

double defined(const nn::DepthwiseConv<double>& conv, const View<const double, 2>& x, Index first, Index length,
               Index t, Index c, Index taps, nn::Reach reach) {
  double sum = conv.bias.value(c);
  for (Index j = 0; j < taps; ++j) {
    const Index offset = reach == nn::Reach::both   ? j - taps / 2
                         : reach == nn::Reach::past ? j + 1 - taps
                                                    : taps - 1 - j;
    const Index s = t + offset;
    if (s >= first && s < first + length) sum += conv.weight.value(c * taps + j) * x(s, c);
  }
  return sum / (1 + std::exp(-sum));
}

}  // namespace

TEST_CASE("depthwise convolution by its definition, over rows that lie apart and sequences that do not touch") {
  const std::vector<Index> cuts{0, 1, 1, 3, 40};
  for (const auto reach : {nn::Reach::both, nn::Reach::past, nn::Reach::future}) {
    for (const Index taps : {1, 4, 7}) {
      for (const Index channels : {1, 31, 32, 45}) {
        INFO("taps " << taps << ", channels " << channels);
        const auto conv = make<double>(channels, taps, reach);
        const auto memory = tensor<double, 2>({80, channels + 3}, 1);
        const View<const double, 2> x(memory.data() + 2, {80, channels}, {channels + 3, 1});
        Tensor<double, 2> y({80, channels});
        y.fill(std::nan(""));
        nn::TokenBatch batch{2, 40};
        batch.cu_seqlens = cuts;
        ThreadPool pool(2);
        conv.forward(x, y, batch, pool);
        for (Index t = 0; t < 80; ++t) {
          const Index sample = t / 40 * 40, place = t % 40, i = place < 1 ? 0 : place < 3 ? 2 : 3;
          const Index first = cuts[static_cast<std::size_t>(i)], end = cuts[static_cast<std::size_t>(i + 1)];
          for (Index c = 0; c < channels; c += 4) {
            REQUIRE(y(t, c) == Approx(defined(conv, x, sample + first, end - first, t, c, taps, reach)).epsilon(1e-12));
          }
        }
      }
    }
  }
}

TEST_CASE("gradients of the depthwise convolution") {
  for (const auto reach : {nn::Reach::both, nn::Reach::past, nn::Reach::future}) {
    for (const Index channels : {3, 33}) {
      auto conv = make<double>(channels, 4, reach);
      auto x = tensor<double, 2>({18, channels}, 1);
      const auto dy = tensor<double, 2>({18, channels}, 2);
      Tensor<double, 2> y(x.shape()), dx(x.shape()), upstream = dy.clone();
      const nn::TokenBatch batch{2, 9};
      dx.fill(std::nan(""));
      conv.backward(upstream, x, dx, false, batch, {});
      const auto f = [&] {
        conv.forward(x, y, batch, {});
        return inner(y, dy);
      };
      require_gradient("x", x.data(), x.size(), dx.data(), f);
      require_parameter_gradients(conv, f);
      const auto once = dx.clone();
      upstream = dy.clone();
      conv.backward(upstream, x, dx, true, batch, {});
      for (Index i = 0; i < dx.size(); ++i) REQUIRE(dx.data()[i] == Approx(2 * once.data()[i]));
    }
  }
}

TEST_CASE("the convolution refuses what does not fit") {
  require_error<ArgumentError>([] { nn::DepthwiseConv<float>("c", 4, 17, nn::Reach::both); },
                               "depthwise_conv: taps is 17, expected 1 to 16");
  const auto conv = make<float>(4, 3, nn::Reach::both);
  Tensor<float, 2> x({6, 5}), y({6, 5});
  require_error<ArgumentError>(
      [&] {
        conv.forward(x, y, {2, 3}, {});
      },
      "depthwise_conv: x has shape [6,5], expected [6,4]");
}

TEST_CASE("RMS norm by its definition, and its gradients") {
  for (const Index tokens : {1, 130}) {
    nn::RmsNorm<double> norm("norm", 7, 1e-2);
    fill(norm, 5, 1);
    auto x = tensor<double, 2>({tokens, 7}, 1);
    const auto dy = tensor<double, 2>({tokens, 7}, 2);
    Tensor<double, 2> y(x.shape()), dx(x.shape()), statistics({tokens, 1});
    std::vector<double> scratch(static_cast<std::size_t>(norm.backward_scratch(tokens)), std::nan(""));
    norm.forward(x, y, {}, statistics);
    for (Index t = 0; t < tokens; ++t) {
      double square = 0;
      for (Index c = 0; c < 7; ++c) square += x(t, c) * x(t, c) / 7;
      for (Index c = 0; c < 7; ++c) {
        REQUIRE(y(t, c) == Approx(x(t, c) / std::sqrt(square + 1e-2) * norm.weight.value(c)).epsilon(1e-13));
      }
    }
    dx = dy.clone();
    norm.backward(dx, x, statistics, dx, scratch.data(), {}, false);  // in place of dy
    const auto once = dx.clone();
    norm.weight.grad.fill(0);
    norm.backward(dy, x, statistics, dx, scratch.data(), {});
    for (Index i = 0; i < dx.size(); ++i) REQUIRE(dx.data()[i] == Approx(2 * once.data()[i]));
    dx = once.clone();
    const auto f = [&] {
      norm.forward(x, y, {});
      return inner(y, dy);
    };
    require_gradient("x", x.data(), x.size(), dx.data(), f);
    require_parameter_gradients(norm, f);
  }
}

TEST_CASE("a linear layer without bias") {
  auto linear = nn::Linear<double>::without_bias("l", 3, 2);
  fill(linear, 1, 1);
  std::vector<std::string> names;
  linear.for_each_parameter([&](auto& p) { names.push_back(p.name); });
  REQUIRE(names == std::vector<std::string>{"l.weight"});
  auto x = tensor<double, 2>({4, 3}, 2);
  const auto dy = tensor<double, 2>({4, 2}, 3);
  Tensor<double, 2> y({4, 2}), dx({4, 3});
  linear.backward_input(dy, dx, {});
  linear.backward_weights(dy, x, {});
  const auto f = [&] {
    linear.forward(x, y, {});
    return inner(y, dy);
  };
  require_gradient("x", x.data(), x.size(), dx.data(), f);
  require_parameter_gradients(linear, f);
}
