#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include "lion/train/adamw.hpp"
#include "lion/train/clip.hpp"
#include "lion/train/random.hpp"
#include "lion/train/schedule.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::ArgumentError;
using lion::Index;
using lion::nn::Parameter;
using namespace lion::train;

namespace {

template <class S>
using List = std::span<Parameter<S>* const>;

/// w and its three gradients, and what torch's formula, evaluated by hand, gives for lr 0.1, weight decay 0.05.
struct Case {
  bool decay;
  double start;
  std::array<double, 3> gradients;
  double expected;
};
constexpr std::array<Case, 2> kCases{
    {{true, 1.0, {0.5, -0.25, 2.0}, 0.7925070780256639}, {false, -2.0, {0.125, 0.0, -1.0}, -2.110034915658603}}};

}  // namespace

TEMPLATE_TEST_CASE("AdamW steps as torch does, decaying only what is to be decayed", "", float, double) {
  using S = TestType;
  Parameter<S> a("a", {1}, kCases[0].decay), b("b", {2, 1}, kCases[1].decay);
  a.value(0) = static_cast<S>(kCases[0].start);
  b.value(0) = b.value(1) = static_cast<S>(kCases[1].start);
  const std::array<Parameter<S>*, 2> list{&a, &b};
  AdamW<S> optimiser(List<S>(list), {.weight_decay = 0.05});
  for (std::size_t t = 0; t < 3; ++t) {
    a.grad(0) = static_cast<S>(kCases[0].gradients[t]);
    b.grad(0) = b.grad(1) = static_cast<S>(kCases[1].gradients[t]);
    optimiser.step(0.1);
  }
  const double close = std::is_same_v<S, float> ? 1e-6 : 1e-14;
  REQUIRE(std::abs(a.value(0) / kCases[0].expected - 1) < close);
  REQUIRE(std::abs(b.value(0) / kCases[1].expected - 1) < close);
  REQUIRE(b.value(0) == b.value(1));
  REQUIRE(a.grad(0) == S(2));
  optimiser.zero_grad();
  REQUIRE(a.grad(0) == S(0));
  REQUIRE(optimiser.state().steps == 3);

  auto frozen = Parameter<S>::without_grad("frozen", {1}, true);
  frozen.value(0) = S(1);
  const std::array<Parameter<S>*, 1> frozen_list{&frozen};
  AdamW<S>(List<S>(frozen_list)).step(0.1);
  REQUIRE(frozen.value(0) == S(1));
}

TEST_CASE("with a peak given, weight decay follows the schedule and not the learning rate's size") {
  const AdamWOptions recipe = AdamWOptions::masked_language(4e-3);
  REQUIRE(recipe.beta1 == 0.9);
  REQUIRE(recipe.beta2 == 0.98);
  REQUIRE(recipe.epsilon == 1e-6);
  REQUIRE(recipe.weight_decay == 1e-5);
  Parameter<double> a("a", {1}, true), b("b", {1}, false);
  const std::array<Parameter<double>*, 2> list{&a, &b};
  AdamWOptions options = recipe;
  options.weight_decay = 0.25;
  AdamW<double> optimiser(List<double>(list), options);
  a.value(0) = b.value(0) = 8;  // gradients of 0: what moves is decay alone
  optimiser.step(4e-3);         // at the peak: all of it
  REQUIRE(a.value(0) == Approx(6).epsilon(1e-15));
  optimiser.step(1e-3);  // at a quarter of the peak: a quarter of it
  REQUIRE(a.value(0) == Approx(6 * (1 - 0.0625)).epsilon(1e-15));
  REQUIRE(b.value(0) == 8);
  const double before = a.value(0);
  a.grad(0) = 3;  // the rest of the step is Adam's: m/√v of first moments 0.1·3/(1−0.9³), √(0.02·9/(1−0.98³))
  optimiser.step(2e-3);
  const double m = 0.3 / (1 - 0.729), v = 0.18 / (1 - 0.941192);
  REQUIRE(a.value(0) == Approx(before * (1 - 0.125) - 2e-3 * m / (std::sqrt(v) + 1e-6)).epsilon(1e-13));
}

TEST_CASE("AdamW goes on from a saved state as if it had not stopped, with any executor") {
  const auto run = [](bool interrupted, lion::Executor executor) {
    Parameter<float> w("w", {5, 7}, true), u("u", {3}, false);
    const std::array<Parameter<float>*, 2> list{&w, &u};
    Random random(1);
    for (Index i = 0; i < 35; ++i) w.value(i) = static_cast<float>(random.normal());
    auto optimiser = AdamW<float>(List<float>(list));
    for (int t = 0; t < 6; ++t) {
      for (Parameter<float>* p : list) {
        for (Index i = 0; i < p->size(); ++i) p->grad(i) = static_cast<float>(random.normal());
      }
      if (interrupted && t == 3) {
        AdamWState<float> saved{.steps = optimiser.state().steps, .first = {}, .second = {}};
        for (const auto& x : optimiser.state().first) saved.first.push_back(x.clone());
        for (const auto& x : optimiser.state().second) saved.second.push_back(x.clone());
        optimiser = AdamW<float>(List<float>(list));
        optimiser.restore(std::move(saved));
      }
      optimiser.step(1e-2, executor);
    }
    std::vector<float> values(w.value.data(), w.value.data() + 35);
    values.insert(values.end(), u.value.data(), u.value.data() + 3);
    return values;
  };
  lion::ThreadPool pool(2);
  const std::vector<float> straight = run(false, {});
  REQUIRE(run(true, {}) == straight);
  REQUIRE(run(false, pool) == straight);
}

TEST_CASE("AdamW says which argument is wrong") {
  Parameter<float> w("blocks.0.w", {4}, true);
  const std::array<Parameter<float>*, 1> list{&w};
  const auto make = [&](AdamWOptions options) {
    return [&list, options] { AdamW<float>(List<float>(list), options); };
  };
  require_error<ArgumentError>(make({.beta1 = 1}), "AdamW: beta1 is 1.000000, expected a value in [0, 1)");
  require_error<ArgumentError>(make({.beta2 = -0.5}), "AdamW: beta2 is -0.500000, expected a value in [0, 1)");
  require_error<ArgumentError>(make({.epsilon = -1}),
                               "AdamW: epsilon is -1.000000, expected a finite value of at least 0");
  require_error<ArgumentError>(make({.weight_decay = -1}),
                               "AdamW: weight_decay is -1.000000, expected a finite value of at least 0");
  require_error<ArgumentError>(make({.peak_learning_rate = -1}),
                               "AdamW: peak_learning_rate is -1.000000, expected a finite value of at least 0");
  AdamW<float> optimiser{List<float>(list)};
  const auto restore = [&](Index steps, std::initializer_list<Index> sizes) {
    AdamWState<float> state;
    state.steps = steps;
    for (Index n : sizes) {
      state.first.emplace_back(lion::Shape<1>{n});
      state.second.emplace_back(lion::Shape<1>{n});
    }
    optimiser.restore(std::move(state));
  };
  require_error<ArgumentError>([&] { restore(-1, {4}); }, "AdamW: steps is -1, expected at least 0");
  require_error<ArgumentError>([&] { restore(0, {}); },
                               "AdamW: first has shape [0], expected [1] to match the parameters");
  require_error<ArgumentError>([&] { restore(0, {5}); },
                               "AdamW: first has shape [5], expected [4] to match blocks.0.w");
}

TEST_CASE("clip_grad_norm takes all gradients as one vector") {
  Parameter<float> a("a", {2}, true), b("b", {1}, true);
  const std::array<Parameter<float>*, 2> list{&a, &b};
  const auto set = [&](float x, float y, float z) {
    a.grad(0) = x;
    a.grad(1) = y;
    b.grad(0) = z;
  };
  set(2, -3, 6);
  REQUIRE(clip_grad_norm(List<float>(list), 8) == 7.0);
  REQUIRE(a.grad(1) == -3.0f);
  REQUIRE(clip_grad_norm(List<float>(list), 3.5) == 7.0);
  REQUIRE(a.grad(0) == Approx(2 * 3.5 / (7 + 1e-6)));
  REQUIRE(b.grad(0) == Approx(6 * 3.5 / (7 + 1e-6)));
  set(3e30f, 4e30f, 0);  // squares overflow float32
  REQUIRE(clip_grad_norm(List<float>(list), 1) == Approx(5e30));
  REQUIRE(a.grad(1) == Approx(0.8));
  set(std::numeric_limits<float>::infinity(), 1, 1);
  REQUIRE(std::isinf(clip_grad_norm(List<float>(list), 1)));
  REQUIRE(a.grad(1) == 1.0f);
  require_error<ArgumentError>([&] { clip_grad_norm(List<float>(list), 0); },
                               "clip_grad_norm: max_norm is 0.000000, expected a value above 0");
}

TEST_CASE("schedules climb in equal steps to the peak, fall to the minimum and stay there") {
  const ScheduleOptions options{.peak = 0.8, .total = 12, .warmup = 3, .minimum = 0.1};
  const auto check = [&](auto schedule, double half_way) {
    REQUIRE(schedule(0) == Approx(0.2).epsilon(1e-14));
    REQUIRE(schedule(1) == Approx(0.4).epsilon(1e-14));
    REQUIRE(schedule(2) == Approx(0.6).epsilon(1e-14));
    REQUIRE(schedule(3) == 0.8);
    REQUIRE(schedule(6) == Approx(half_way).epsilon(1e-14));
    REQUIRE(schedule(12) == 0.1);
    REQUIRE(schedule(1000) == 0.1);
  };
  check(Linear(options), 0.8 - 0.7 / 3);
  check(Cosine(options), 0.1 + 0.7 * 0.75);  // (1 + cos 60°)/2
  REQUIRE(Cosine({.peak = 1, .total = 4})(0) == 1.0);
  REQUIRE(Linear({.peak = 1, .total = 4})(3) == 0.25);
  const Linear text(ScheduleOptions::masked_language(0.5, 200));  // 12 steps up, down to 0.01
  REQUIRE(text(11) == Approx(0.5 * 12 / 13).epsilon(1e-14));
  REQUIRE(text(12) == 0.5);
  REQUIRE(text(106) == Approx(0.255).epsilon(1e-14));
  REQUIRE(text(200) == 0.01);
}

TEST_CASE("schedules say which argument is wrong") {
  require_error<ArgumentError>([] { Cosine({.total = 0}); }, "Cosine: total is 0, expected at least 1");
  require_error<ArgumentError>([] { Linear({.total = 5, .warmup = 6}); },
                               "Linear: warmup is 6, expected a value in [0, 5]");
  require_error<ArgumentError>([] { Linear({.peak = 0.5, .total = 5, .minimum = 1}); },
                               "Linear: minimum is 1.000000 and peak is 0.500000, expected 0 <= minimum <= peak");
}
