#include "lion/nn/hydra_mixer.hpp"
#include "mixer_run.hpp"
#include "support/require_error.hpp"

using namespace nn_test;

namespace {

template <class S>
nn::HydraMixer<S> make(Index width, Index state, Index head) {
  nn::HydraMixer<S> mixer("m", width, state, head);
  fill(mixer, 3, 0.7);
  return mixer;
}

double silu(double x) { return x / (1 + std::exp(-x)); }

/// Hydra's mixer on one sequence, token by token as its authors write it.
Tensor<double, 2> defined(const nn::HydraMixer<double>& m, const Tensor<double, 2>& u) {
  const Index L = u.extent(0), C = u.extent(1), inner = m.inner(), N = m.state(), H = m.heads(), P = inner / H;
  const Index W = inner + 4 * N;
  const auto project = [&](Index t, Index row) {
    double sum = 0;
    for (Index c = 0; c < C; ++c) sum += m.in_proj.weight.value(row * C + c) * u(t, c);
    return sum;
  };
  Tensor<double, 2> x({L, W}), sum({L, inner}), y({L, C});
  for (Index t = 0; t < L; ++t) {
    for (Index c = 0; c < W; ++c) {
      double value = m.conv1d.bias.value(c);
      for (Index j = 0; j < 7; ++j) {
        const Index s = t + j - 3;
        if (s >= 0 && s < L) value += m.conv1d.weight.value(c * 7 + j) * project(s, inner + c);
      }
      x(t, c) = silu(value);
    }
  }
  for (const bool forward : {true, false}) {
    const Index first = inner + (forward ? 0 : 2 * N);
    for (Index h = 0; h < H; ++h) {
      const double a = -std::exp(m.a_log.value(h));
      std::vector<double> state(static_cast<std::size_t>(N * P));
      for (Index i = 0; i < L; ++i) {
        const Index t = forward ? i : L - 1 - i, next = forward ? t + 1 : t - 1;
        const double raw = project(t, inner + W + (forward ? h : H + h)) + m.dt_bias.value(h);
        const double step = std::log1p(std::exp(raw));
        for (Index p = 0; p < P; ++p) {
          double read = 0;
          for (Index n = 0; n < N; ++n) {
            double& s = state[static_cast<std::size_t>(n * P + p)];
            s = std::exp(step * a) * s + step * x(t, first + n) * x(t, h * P + p);
            read += x(t, first + N + n) * s;
          }
          if (next >= 0 && next < L) sum(next, h * P + p) += read;
        }
      }
    }
  }
  for (Index t = 0; t < L; ++t) {
    double square = 0;
    for (Index h = 0; h < H; ++h) {
      double diagonal = m.fc_d.bias.value(h);
      for (Index c = 0; c < inner; ++c) diagonal += m.fc_d.weight.value(h * inner + c) * x(t, c);
      for (Index c = h * P; c < (h + 1) * P; ++c) {
        sum(t, c) += diagonal * x(t, c);
        square += sum(t, c) * sum(t, c);
      }
    }
    for (Index o = 0; o < C; ++o) {
      for (Index c = 0; c < inner; ++c) {
        const double normal = sum(t, c) / std::sqrt(square / static_cast<double>(inner) + 1e-5);
        y(t, o) += m.out_proj.weight.value(o * inner + c) * normal * m.norm.weight.value(c) * silu(project(t, c));
      }
    }
  }
  return y;
}

}  // namespace

TEST_CASE("Hydra's mixer by its definition, in every form, at odd shapes") {
  for (const Index length : {1, 2, 7, 63, 130}) {
    auto mixer = make<double>(5, 3, 5);
    MixerRun<double, nn::HydraMixer<double>> run(mixer, {1, length});
    const auto expected = defined(mixer, run.u);
    for (const char* form : {"auto", "full", "rnn", "chunk"}) {
      INFO("length " << length << ", form " << form);
      mixer.set_form(parse_form(form, 4));
      run.forward();
      require_rows(run.out, 0, expected, 1e-10);
      require_rows(run.infer(), 0, expected, 1e-10);
    }
  }
}

TEST_CASE("gradients of Hydra's mixer") {
  for (const auto& [samples, length] : {std::pair<Index, Index>{1, 1}, {2, 2}, {1, 63}, {3, 9}}) {
    for (const char* form : {"auto", "rnn"}) {
      INFO("length " << length << ", form " << form);
      auto mixer = make<double>(4, 3, 4);
      mixer.set_form(parse_form(form));
      MixerRun<double, nn::HydraMixer<double>>(mixer, {samples, length}).require_gradients();
    }
  }
}

TEST_CASE("Hydra's mixer has nothing to do without tokens") {
  auto mixer = make<double>(4, 3, 4);
  MixerRun<double, nn::HydraMixer<double>> run(mixer, {2, 0});
  run.forward();
  run.backward();
  run.infer();
  for (const double g : run.gradients()) REQUIRE(g == 0);
}

TEST_CASE("sequences packed for Hydra do not see each other") {
  auto mixer = make<double>(5, 9, 10);
  require_packed_as_alone(mixer, {0, 1, 1, 3, 70, 79});
}

TEST_CASE("padding goes unnoticed in Hydra") {
  auto mixer = make<double>(4, 3, 4);
  require_padding_unnoticed(mixer);
}

TEST_CASE("Hydra's mixer computes the same bits for any number of threads") {
  auto mixer = make<float>(12, 9, 8);
  require_same_bits(mixer, {3, 65});
}

TEST_CASE("a new Hydra mixer has the names, shapes and starting points of its authors'") {
  nn::HydraMixer<double> mixer("m", 8, 3, 4);
  mixer.initialise(nn::PlacedRandom(1, 1));
  std::vector<std::string> names;
  Index count = 0;
  mixer.for_each_parameter([&](auto& p) {
    names.push_back(p.name);
    count += p.size();
  });
  REQUIRE(names == std::vector<std::string>{"m.in_proj.weight", "m.conv1d.weight", "m.conv1d.bias", "m.dt_bias",
                                            "m.A_log", "m.fc_D.weight", "m.D", "m.norm.weight", "m.out_proj.weight"});
  REQUIRE(count == (2 * 16 + 12 + 8) * 8 + 28 * 8 + 2 * 4 + 4 * 16 + 4 + 16 + 16 * 8);
  for (Index h = 0; h < 4; ++h) {
    const double step = std::log1p(std::exp(mixer.dt_bias.value(h))), rate = std::exp(mixer.a_log.value(h));
    REQUIRE((step >= 0.001 && step <= 0.1001));
    REQUIRE((rate >= 1 && rate <= 16));
    REQUIRE(mixer.fc_d.bias.value(h) == 1);
  }
}

TEST_CASE("sizes that Hydra's mixer cannot have are named") {
  require_error<ArgumentError>([] { nn::HydraMixer<float>("m", 8, 4, 6); },
                               "hydra: head_dim is 6, expected a divisor of the inner width 16");
  require_error<ArgumentError>([] { nn::HydraMixer<float>("m", 8, 0, 4); }, "hydra: d_state is 0, expected at least 1");
}
