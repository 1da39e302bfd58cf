#include "lion/nn/vim_mixer.hpp"
#include "mixer_run.hpp"
#include "support/require_error.hpp"

using namespace nn_test;

namespace {

template <class S>
nn::VimMixer<S> make(Index width, Index state) {
  nn::VimMixer<S> mixer("m", width, state);
  fill(mixer, 3, 0.7);
  return mixer;
}

double silu(double x) { return x / (1 + std::exp(-x)); }

/// Vim's mixer on one sequence, token by token as its authors write it.
Tensor<double, 2> defined(const nn::VimMixer<double>& m, const Tensor<double, 2>& h) {
  const Index L = h.extent(0), C = h.extent(1), inner = m.inner(), N = m.state(), R = m.rank();
  Tensor<double, 2> xz({L, 2 * inner}), sum({L, inner}), y({L, C});
  for (Index t = 0; t < L; ++t) {
    for (Index r = 0; r < 2 * inner; ++r) {
      for (Index c = 0; c < C; ++c) xz(t, r) += m.in_proj.weight.value(r * C + c) * h(t, c);
    }
  }
  for (const bool forward : {true, false}) {
    const auto& d = m.tracks[forward ? 0 : 1];
    std::vector<double> state(static_cast<std::size_t>(inner * N));
    for (Index k = 0; k < L; ++k) {
      const auto token = [&](Index place) { return forward ? place : L - 1 - place; };
      std::vector<double> x, selected;
      for (Index i = 0; i < inner; ++i) {
        double value = d.conv1d.bias.value(i);
        for (Index j = 0; j < 4; ++j) {
          if (k + j - 3 >= 0) value += d.conv1d.weight.value(i * 4 + j) * xz(token(k + j - 3), i);
        }
        x.push_back(silu(value));
      }
      for (Index r = 0; r < R + 2 * N; ++r) {
        double value = 0;
        for (Index i = 0; i < inner; ++i)
          value += d.x_proj.weight.value(r * inner + i) * x[static_cast<std::size_t>(i)];
        selected.push_back(value);
      }
      for (Index i = 0; i < inner; ++i) {
        double raw = d.dt_proj.bias.value(i);
        for (Index r = 0; r < R; ++r) raw += d.dt_proj.weight.value(i * R + r) * selected[static_cast<std::size_t>(r)];
        const double delta = std::log1p(std::exp(raw)), u = x[static_cast<std::size_t>(i)];
        double out = d.skip.value(i) * u;
        for (Index n = 0; n < N; ++n) {
          double& s = state[static_cast<std::size_t>(i * N + n)];
          s = std::exp(-delta * std::exp(d.a_log.value(i * N + n))) * s +
              delta * u * selected[static_cast<std::size_t>(R + n)];
          out += s * selected[static_cast<std::size_t>(R + N + n)];
        }
        sum(token(k), i) += out;
      }
    }
  }
  for (Index t = 0; t < L; ++t) {
    for (Index o = 0; o < C; ++o) {
      for (Index i = 0; i < inner; ++i) {
        y(t, o) += m.out_proj.weight.value(o * inner + i) * sum(t, i) * silu(xz(t, inner + i)) / 2;
      }
    }
  }
  return y;
}

}  // namespace

TEST_CASE("Vim's mixer by its definition at odd shapes") {
  for (const Index length : {1, 2, 7, 63}) {
    for (const auto& [width, state] : {std::pair<Index, Index>{5, 3}, {17, 9}}) {
      INFO("length " << length << ", width " << width);
      auto mixer = make<double>(width, state);
      MixerRun<double, nn::VimMixer<double>> run(mixer, {1, length});
      const auto expected = defined(mixer, run.u);
      run.forward();
      require_rows(run.out, 0, expected, 1e-10);
      require_rows(run.infer(), 0, expected, 1e-10);
    }
  }
}

TEST_CASE("gradients of Vim's mixer") {
  for (const auto& [samples, length] : {std::pair<Index, Index>{1, 1}, {2, 2}, {1, 63}, {3, 9}}) {
    INFO("length " << length);
    auto mixer = make<double>(5, 3);
    MixerRun<double, nn::VimMixer<double>>(mixer, {samples, length}).require_gradients();
  }
}

TEST_CASE("Vim's mixer has nothing to do without tokens") {
  auto mixer = make<double>(4, 3);
  MixerRun<double, nn::VimMixer<double>> run(mixer, {2, 0});
  run.forward();
  run.backward();
  run.infer();
  for (const double g : run.gradients()) REQUIRE(g == 0);
}

TEST_CASE("sequences packed for Vim do not see each other") {
  auto mixer = make<double>(5, 9);
  require_packed_as_alone(mixer, {0, 1, 1, 3, 70, 79});
}

TEST_CASE("padding goes unnoticed in Vim") {
  auto mixer = make<double>(4, 3);
  require_padding_unnoticed(mixer);
}

TEST_CASE("Vim's mixer computes the same bits for any number of threads") {
  auto mixer = make<float>(150, 5);
  require_same_bits(mixer, {3, 35});
}

TEST_CASE("a new Vim mixer starts as Mamba") {
  nn::VimMixer<double> mixer("m", 20, 3);
  mixer.initialise(nn::PlacedRandom(1, 1));
  for (const auto& direction : mixer.tracks) {
    for (Index i = 0; i < 40; ++i) {
      const double step = std::log1p(std::exp(direction.dt_proj.bias.value(i)));
      REQUIRE((step >= 0.001 && step <= 0.1001));
      REQUIRE(std::exp(direction.a_log.value(i * 3 + 2)) == Approx(3));
      REQUIRE(direction.skip.value(i) == 1);
    }
  }
  require_error<ArgumentError>([] { nn::VimMixer<float>("m", 8, 0); }, "vim: d_state is 0, expected at least 1");
}
