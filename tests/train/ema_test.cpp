#include "lion/train/ema.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace lion::train;

namespace {

struct Weights {
  nn::Parameter<float> a{"a", {2, 3}, true}, b{"b", {1}, false};
  std::vector<nn::Parameter<float>*> all{&a, &b};
  std::span<nn::Parameter<float>* const> span() const { return all; }

  void set(float x) {
    for (Index i = 0; i < 6; ++i) a.value(i) = x * static_cast<float>(i + 1);
    b.value(0) = -x;
  }
};

}  // namespace

TEST_CASE("the average is the weighted sum that the decay says, from the weights it began with") {
  Weights w;
  w.set(1);
  Ema<float> ema(w.span(), {.decay = 0.75});
  for (const float x : {5.0f, -3.0f, 2.0f}) {
    w.set(x);
    ema.update();
  }
  // 0.75^3·1 + 0.25·(0.75^2·5 − 0.75·3 + 2), exact in binary
  const double expected = 0.421875 + 0.25 * (0.5625 * 5 - 0.75 * 3 + 2);
  REQUIRE(ema.state().updates == 3);
  for (Index i = 0; i < 6; ++i) REQUIRE(ema.state().averages[0](i) == expected * static_cast<double>(i + 1));
  REQUIRE(ema.state().averages[1](0) == -expected);
}

TEST_CASE("with warm-up the decay grows as (1 + t)/(10 + t), up to its own") {
  Weights w;
  w.set(0);
  Ema<float> ema(w.span(), {.decay = 0.2, .warmup = true});
  double average = 0;
  for (const double decay : {0.1, 2.0 / 11, 0.2, 0.2}) {  // 3/12 is more than 0.2
    w.set(4);
    ema.update();
    average = decay * average + (1 - decay) * 4;
    REQUIRE(ema.state().averages[0](0) == Approx(average).epsilon(1e-15));
  }
}

TEST_CASE("averages swap in and the weights come back to the bit") {
  Weights w;
  w.set(0.1f);
  Ema<float> ema(w.span(), {.decay = 0.5});
  w.set(0.7f);
  ema.update();
  w.b.value(0) = std::numeric_limits<float>::denorm_min();
  const float* place = w.a.value.data();
  const std::vector<float> before(place, place + 6);
  ema.swap_in();
  REQUIRE(w.a.value.data() == place);
  for (Index i = 0; i < 6; ++i) REQUIRE(w.a.value(i) == static_cast<float>(ema.state().averages[0](i)));
  REQUIRE(w.a.value(0) == Approx(0.4));
  require_error<ArgumentError>([&] { ema.update(); }, "Ema: update was called between swap_in and swap_out");
  require_error<ArgumentError>([&] { ema.swap_in(); }, "Ema: swap_in was called between swap_in and swap_out");
  ema.swap_out();
  REQUIRE(std::equal(before.begin(), before.end(), w.a.value.data()));
  REQUIRE(w.b.value(0) == std::numeric_limits<float>::denorm_min());
  require_error<ArgumentError>([&] { ema.swap_out(); }, "Ema: swap_out was called without a swap_in before it");
  ema.swap_in();  // and again
  REQUIRE(w.a.value(0) == Approx(0.4));
}

TEST_CASE("steps below a float's rounding still move the average") {
  Weights w;
  w.set(1);
  Ema<float> ema(w.span(), {.decay = 0.99999});
  w.set(1.001f);
  for (int i = 0; i < 1000; ++i) ema.update();  // each by 1e-8: a float near 1 moves by 6e-8 at least
  const double target = static_cast<double>(1.001f);
  const double expected = target + (1 - target) * std::pow(0.99999, 1000);
  REQUIRE(ema.state().averages[0](0) == Approx(expected).epsilon(1e-13));
}

TEST_CASE("an average goes on from a saved state") {
  Weights w;
  w.set(1);
  Ema<float> straight(w.span(), {.decay = 0.9, .warmup = true}), resumed(w.span(), {.decay = 0.9, .warmup = true});
  const auto step = [&](Ema<float>& ema, int t) {
    w.set(static_cast<float>(t * t));
    ema.update();
  };
  for (int t = 0; t < 6; ++t) step(straight, t);
  EmaState saved;
  {
    w.set(1);
    Ema<float> first(w.span(), {.decay = 0.9, .warmup = true});
    for (int t = 0; t < 3; ++t) step(first, t);
    saved.updates = first.state().updates;
    for (const auto& average : first.state().averages) saved.averages.push_back(average.clone());
  }
  resumed.restore(std::move(saved));
  for (int t = 3; t < 6; ++t) step(resumed, t);
  for (Index i = 0; i < 6; ++i) REQUIRE(resumed.state().averages[0](i) == straight.state().averages[0](i));

  EmaState short_of_one{1, {}}, misshapen{1, {}};
  short_of_one.averages.emplace_back(Shape<1>{6});
  require_error<ArgumentError>([&] { resumed.restore(std::move(short_of_one)); },
                               "Ema: averages has shape [1], expected [2] to match the parameters");
  misshapen.averages.emplace_back(Shape<1>{6});
  misshapen.averages.emplace_back(Shape<1>{2});
  require_error<ArgumentError>([&] { resumed.restore(std::move(misshapen)); },
                               "Ema: averages has shape [2], expected [1] to match b");
  require_error<ArgumentError>([&] { Ema<float>(w.span(), {.decay = 1}); },
                               "Ema: decay is 1.000000, expected a value in [0, 1)");
}
