#pragma once
/// Random operator problems, the same ones on every platform.

#include <random>

#include "support/attention_problem.hpp"

namespace lion::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  /// In [0, 1).
  double uniform() { return static_cast<double>(bits_() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// In [0, n).
  Index below(Index n) { return static_cast<Index>(bits_() % static_cast<std::uint64_t>(n)); }
  bool chance(double p) { return uniform() < p; }
  template <class X>
  X pick(std::initializer_list<X> of) {
    return *(of.begin() + below(static_cast<Index>(of.size())));
  }
  template <class X>
  void shuffle(X* first, Index n) {
    for (Index i = n; i > 1; --i) std::swap(first[i - 1], first[below(i)]);
  }

 private:
  std::mt19937_64 bits_;
};

/// What a random problem may contain.
struct RandomOptions {
  bool normalise = true, past = true, future = true;
  Index orders = 1;  // 1: the tokens as they lie
  bool packed = false, padded = false;
  bool hard = true;  // decays down to e^-30, cuts
};

inline double random_log_decay(Random& random, bool hard) {
  const double kind = random.uniform();
  if (kind < 0.15) return 0;
  if (!hard || kind < 0.75) return -random.uniform(0, 0.2);
  if (kind < 0.9) return -random.uniform(0, 5);
  return kind < 0.96 ? -30 : -INFINITY;
}

/// A problem for masks of this kind. Padded keys and values are NaN.
inline Problem random_problem(Random& random, const AttentionDims& d, mask::DecayKind kind, bool gated,
                              const RandomOptions& options = {}) {
  Problem p;
  p.dims = d;
  p.normalise = options.normalise;
  p.past = options.past;
  p.future = options.future;
  p.scale = random.chance(0.5) ? 1 / std::sqrt(static_cast<double>(d.D)) : 0.7;
  p.epsilon = options.padded || random.chance(0.5) ? 1e-6 : 0;
  const auto fill = [&](std::vector<double>& x, Index n, double low, double high) {
    x.resize(static_cast<std::size_t>(n));
    for (double& value : x) value = random.uniform(low, high);
  };
  const double low = options.normalise ? 0.1 : -1;  // positive features keep row sums away from 0
  fill(p.q, d.B * d.Hk * d.L * d.D, low, 1);
  fill(p.k, d.B * d.Hk * d.L * d.D, low, 1);
  fill(p.v, d.B * d.H * d.L * d.E, -1, 1);
  fill(p.dy, d.B * d.H * d.L * d.E, -1, 1);
  if (options.packed) {
    p.cu_seqlens = {0, d.L};
    for (Index i = random.below(5); i > 0; --i) p.cu_seqlens.insert(p.cu_seqlens.end() - 1, random.below(d.L + 1));
    std::sort(p.cu_seqlens.begin(), p.cu_seqlens.end());
    if (random.chance(0.5)) p.cu_seqlens.insert(p.cu_seqlens.end(), 2, d.L);  // empty ones at the end
  }
  if (options.padded) {
    p.key_mask.resize(static_cast<std::size_t>(d.B * d.L));
    for (char& keep : p.key_mask) keep = !random.chance(0.25);
    const auto spoil = [&](std::vector<double>& x, Index heads, Index width) {
      for (Index i = 0; i < d.B * heads * d.L; ++i) {
        if (p.key_mask[static_cast<std::size_t>(i / (heads * d.L) * d.L + i % d.L)]) continue;
        std::fill_n(x.begin() + i * width, width, NAN);
      }
    };
    spoil(p.k, d.Hk, d.D);
    spoil(p.v, d.H, d.E);
  }
  for (Index r = 0; r < options.orders; ++r) {
    std::vector<Index> order;
    if (options.orders > 1 || random.chance(0.3)) {
      for (Index t = 0; t < d.L; ++t) order.push_back(t);
      const std::vector<Index> cuts = p.cu_seqlens.empty() ? std::vector<Index>{0, d.L} : p.cu_seqlens;
      for (std::size_t s = 0; s + 1 < cuts.size(); ++s) random.shuffle(order.data() + cuts[s], cuts[s + 1] - cuts[s]);
    }
    p.orders.push_back(order);
    std::vector<double> log_lambda(static_cast<std::size_t>(d.B * d.H * d.L));
    std::vector<double> heads(static_cast<std::size_t>(d.H));
    for (double& value : heads) value = random_log_decay(random, options.hard);
    for (std::size_t i = 0; i < log_lambda.size(); ++i) {
      if (kind == mask::DecayKind::per_head) {
        log_lambda[i] = heads[i / static_cast<std::size_t>(d.L) % heads.size()];
      } else if (kind == mask::DecayKind::per_token) {
        log_lambda[i] = random_log_decay(random, options.hard);
      }
    }
    p.log_lambda.push_back(log_lambda);
    if (gated) fill(p.gate.emplace_back(), d.B * d.H * d.L, 0.1, 1.5);
  }
  return p;
}

}  // namespace lion::test
