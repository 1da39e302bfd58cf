#include "lion/nn/selective_scan.hpp"
#include "mixer_run.hpp"

using namespace nn_test;

namespace {

/// A scan over packed or equal sequences, and everything it writes to.
struct Problem {
  Index channels, state;
  nn::TokenBatch batch;
  Tensor<double, 2> u, delta, b, c, dy, y, du, ddelta, db, dc, rates;
  Tensor<double, 1> skip, dskip;
  Tensor<double, 2> drates;
  Workspace workspace;

  Problem(Index i, Index n, const nn::TokenBatch& of)
      : channels(i),
        state(n),
        batch(of),
        u(tensor<double, 2>({of.tokens(), i}, 1)),
        delta(tensor<double, 2>({of.tokens(), i}, 2)),
        b(tensor<double, 2>({of.tokens(), n}, 3)),
        c(tensor<double, 2>({of.tokens(), n}, 4)),
        dy(tensor<double, 2>({of.tokens(), i}, 5)),
        y({of.tokens(), i}),
        du({of.tokens(), i}),
        ddelta({of.tokens(), i}),
        db({of.tokens(), n}),
        dc({of.tokens(), n}),
        rates(tensor<double, 2>({i, n}, 6)),
        skip(tensor<double, 1>({i}, 7)),
        dskip({i}),
        drates({i, n}) {
    for (Index j = 0; j < delta.size(); ++j) delta.data()[j] = 0.1 + std::abs(delta.data()[j]);
    for (Index j = 0; j < rates.size(); ++j) rates.data()[j] = -2 * std::abs(rates.data()[j]);
    for (auto* written : {&y, &du, &ddelta, &db, &dc, &drates}) written->fill(std::nan(""));
    poison();
  }

  void poison() {
    const nn::SelectiveScan<double> scan{channels, state, false};
    const std::size_t size = scan.backward_workspace_size(batch, {});
    workspace.reserve(size);
    std::fill_n(workspace.arena().take<std::byte>(0), size - kAlignment, std::byte(0xff));
  }

  nn::ScanInputs<double> inputs() const { return {u, delta, b, c, rates.data(), skip.data()}; }

  double defined(bool reversed, Index first, Index length, Index at, Index i) const {
    std::vector<double> s(static_cast<std::size_t>(state));
    for (Index k = 0; k < length; ++k) {
      const Index t = reversed ? first + length - 1 - k : first + k;
      double out = skip(i) * u(t, i);
      for (Index n = 0; n < state; ++n) {
        double& value = s[static_cast<std::size_t>(n)];
        value = std::exp(delta(t, i) * rates(i, n)) * value + delta(t, i) * u(t, i) * b(t, n);
        out += value * c(t, n);
      }
      if (t == at) return out;
    }
    return std::nan("");
  }
};

}  // namespace

TEST_CASE("the selective scan by its definition, in both directions, over channels that do not fill vectors") {
  for (const Index channels : {1, 16, 21, 300}) {
    for (const bool reversed : {false, true}) {
      INFO("channels " << channels << ", reversed " << reversed);
      Problem p(channels, 3, {2, 37});
      const nn::SelectiveScan<double> scan{channels, 3, reversed};
      scan.forward(p.inputs(), p.y, false, p.batch, p.workspace, {});
      for (Index t = 0; t < 74; t += 5) {
        for (Index i = 0; i < channels; i += 7) {
          REQUIRE(p.y(t, i) == Approx(p.defined(reversed, t / 37 * 37, 37, t, i)).epsilon(1e-12).margin(1e-14));
        }
      }
      const double before = p.y(3, channels - 1);
      scan.forward(p.inputs(), p.y, true, p.batch, p.workspace, {});
      REQUIRE(p.y(3, channels - 1) == Approx(2 * before).epsilon(1e-14));
    }
  }
}

TEST_CASE("gradients of the selective scan, across the blocks in which states are computed again") {
  const std::vector<Index> cuts{0, 1, 1, 17, 50};
  for (const auto& [channels, state] : {std::pair<Index, Index>{3, 5}, {18, 1}, {260, 2}}) {
    for (const bool reversed : {false, true}) {
      for (const bool packed : {false, true}) {
        INFO("channels " << channels << ", reversed " << reversed << ", packed " << packed);
        nn::TokenBatch batch{packed ? 1 : 2, packed ? 50 : 33};
        if (packed) batch.cu_seqlens = cuts;
        Problem p(channels, state, batch);
        const nn::SelectiveScan<double> scan{channels, state, reversed};
        scan.backward(p.inputs(), p.dy, {p.du, p.ddelta, p.db, p.dc, p.drates.data(), p.dskip.data()}, p.batch,
                      p.workspace, {});
        const auto f = [&] {
          scan.forward(p.inputs(), p.y, false, p.batch, p.workspace, {});
          return inner(p.y, p.dy);
        };
        require_gradient("u", p.u.data(), p.u.size(), p.du.data(), f);
        require_gradient("delta", p.delta.data(), p.delta.size(), p.ddelta.data(), f);
        require_gradient("b", p.b.data(), p.b.size(), p.db.data(), f);
        require_gradient("c", p.c.data(), p.c.size(), p.dc.data(), f);
        require_gradient("rates", p.rates.data(), p.rates.size(), p.drates.data(), f);
        require_gradient("skip", p.skip.data(), p.skip.size(), p.dskip.data(), f);
      }
    }
  }
}

TEST_CASE("scratch of the selective scan: states of 16 channels forward, and those of every 16th token backward") {
  const nn::SelectiveScan<float> scan{256, 16, false};
  REQUIRE(scan.workspace_size({1, 100}, {}) == scan.workspace_size({1, 100000}, {}));
  const auto bytes = [&](Index length) { return static_cast<Index>(scan.backward_workspace_size({1, length}, {})); };
  // Per token: 1/16 of a state of 16 channels, and the sums of db and dc.
  REQUIRE(bytes(3200) - bytes(1600) == 1600 * (16 + 2 * 16) * 4);
}
