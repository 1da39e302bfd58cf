#pragma once
/// Noise of training: dropout and drop-path. Masks are drawn again in the backward pass, never stored.

#include "lion/nn/product.hpp"
#include "lion/nn/random.hpp"

namespace lion::nn {

/// x [N,C] *= mask / (1 - p), where an entry of the mask is 0 with probability p in [0, 1). The mask depends on
/// `random` and the place alone, so the same call turns the gradient of the output into that of the input.
template <Real S>
void dropout(const View<S, 2>& x, double p, const PlacedRandom& random, const Executor& executor) {
  if (p <= 0) return;
  const S scale = static_cast<S>(1 / (1 - p));
  const Index width = x.extent(1);
  detail::for_each_block(x.extent(0), kRowBlock, executor, [&](Index first, Index n) {
    for (Index t = first; t < first + n; ++t) {
      S* row = x.at(t);
      for (Index c = 0; c < width; ++c) {
        row[c] = random.uniform(static_cast<std::uint64_t>(t * width + c)) < p ? S(0) : row[c] * scale;
      }
    }
  });
}

/// Drop-path (stochastic depth, Huang et al., arXiv 1603.09382): x [B·L,C], all of a sample's branch is 0 with
/// probability p in [0, 1), else divided by 1 - p. Its own gradient, as dropout.
template <Real S>
void drop_path(const View<S, 2>& x, Index tokens_per_sample, double p, const PlacedRandom& random,
               const Executor& executor) {
  if (p <= 0) return;
  const S scale = static_cast<S>(1 / (1 - p));
  const Index width = x.extent(1);
  detail::for_each_block(x.extent(0), kRowBlock, executor, [&](Index first, Index n) {
    for (Index t = first; t < first + n; ++t) {
      const bool dropped = random.uniform(static_cast<std::uint64_t>(t / tokens_per_sample)) < p;
      Eigen::Map<Eigen::Array<S, -1, 1>> row(x.at(t), width);
      if (dropped) {
        row.setZero();
      } else {
        row *= scale;
      }
    }
  });
}

}  // namespace lion::nn
