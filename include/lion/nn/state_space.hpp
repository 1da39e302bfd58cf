#pragma once
/// What the state-space mixers share: step sizes, and where their parameters start.

#include "lion/nn/decays.hpp"

namespace lion::nn {

/// x = softplus(x) = log(1 + e^x), [n].
template <Real S>
void softplus(S* x, Index n) {
  log_sigmoid(x, n, S(-1));
  Eigen::Map<Eigen::Array<S, -1, 1>> all(x, n);
  all = -all;
}

/// Biases of step sizes such that softplus gives e to a uniform draw between log 0.001 and log 0.1 (Mamba,
/// arXiv 2312.00752).
template <Real S>
void initialise_steps(Parameter<S>& bias, const PlacedRandom& random) {
  for (Index i = 0; i < bias.size(); ++i) {
    const double low = std::log(0.001), high = std::log(0.1);
    const double step = std::exp(low + (high - low) * random.uniform(static_cast<std::uint64_t>(i)));
    bias.value(i) = static_cast<S>(step + std::log(-std::expm1(-step)));
  }
}

}  // namespace lion::nn
