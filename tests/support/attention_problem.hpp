#pragma once
/// An operator problem in float64, and its answer by the dense definition (math.md §1, §4): no form, no chunk, no
/// state.

#include <cmath>
#include <vector>

#include "lion/mask/mask.hpp"

namespace lion::test {

struct Problem {
  AttentionDims dims;
  double scale = 1, epsilon = 1e-6;
  bool normalise = true, past = true, future = true;
  std::vector<double> q, k, v, dy;              // [B,Hk,L,D], [B,Hk,L,D], [B,H,L,E], [B,H,L,E]
  std::vector<char> key_mask;                   // [B,L], or empty
  std::vector<Index> cu_seqlens;                // or empty
  std::vector<std::vector<Index>> orders;       // one per mask, each [L] or empty
  std::vector<std::vector<double>> log_lambda;  // one per mask, [B,H,L]
  std::vector<std::vector<double>> gate;        // one per mask, [B,H,L], or empty
};

/// Results; `fixed_*` are the gradients with the denominators held fixed, the yardstick of their errors.
struct Answer {
  std::vector<double> y, row_sum, dq, dk, dv;
  std::vector<std::vector<double>> dlog_lambda, dgate;  // one per mask, [B,H,L]
  std::vector<double> fixed_dq, fixed_dk;
  std::vector<std::vector<double>> fixed_dlog_lambda, fixed_dgate;
};

inline double norm(const std::vector<double>& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return std::sqrt(sum);
}

/// ‖a − b‖ / max(‖b‖, yardstick), 0 where both vanish; NaN stays NaN.
inline double relative_error(const std::vector<double>& a, const std::vector<double>& b, double yardstick = 0) {
  if (a.size() != b.size()) return INFINITY;
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  const double size = std::fmax(norm(b), yardstick);
  return sum == 0 ? 0 : std::sqrt(sum) / std::fmax(size, 1e-300);
}

/// Sums [B,H,L] over b and t: the gradient of one decay per head.
inline std::vector<double> per_head(const std::vector<double>& x, const AttentionDims& d) {
  std::vector<double> sums(static_cast<std::size_t>(d.H));
  for (Index i = 0; i < d.B * d.H * d.L; ++i) {
    sums[static_cast<std::size_t>(i / d.L % d.H)] += x[static_cast<std::size_t>(i)];
  }
  return sums;
}

namespace detail {

/// Everything of one (b, h): M_ij from the log-decays along the walk, the pairs, and the gradients.
class DenseHead {
 public:
  DenseHead(const Problem& p, Answer& a, Index b, Index h) : p_(p), a_(a), d_(p.dims), b_(b), h_(h) {}

  void run() {
    const std::size_t L = static_cast<std::size_t>(d_.L);
    std::vector<double> n(L * static_cast<std::size_t>(d_.E)), sum(L);
    const double share = 1.0 / static_cast<double>(p_.log_lambda.size());
    for (std::size_t r = 0; r < p_.log_lambda.size(); ++r) {
      for_each_pair(r, [&](Index i, Index j, double m, Index, Index) {
        const double score = share * p_.scale * m * dot(i, j) * factor(r, j);
        sum[static_cast<std::size_t>(i)] += score;
        for (Index e = 0; e < d_.E; ++e) n[static_cast<std::size_t>(i * d_.E + e)] += score * value(j, e);
      });
    }
    std::vector<double> dd(L);
    for (Index i = 0; i < d_.L; ++i) {
      const double delta = p_.normalise ? sum[static_cast<std::size_t>(i)] + p_.epsilon : 1.0;
      const double inverse = delta == 0 ? 0 : 1 / delta;
      a_.row_sum[index(i)] = delta;
      for (Index e = 0; e < d_.E; ++e) {
        double& y = a_.y[index(i) * static_cast<std::size_t>(d_.E) + static_cast<std::size_t>(e)];
        y = n[static_cast<std::size_t>(i * d_.E + e)] * inverse;
        if (p_.normalise) dd[static_cast<std::size_t>(i)] -= inverse * y * upstream(i, e);
      }
    }
    gradients(dd, share);
  }

 private:
  std::size_t index(Index t) const { return static_cast<std::size_t>((b_ * d_.H + h_) * d_.L + t); }
  std::size_t shared(Index t, Index c) const {
    return static_cast<std::size_t>(((b_ * d_.Hk + h_ * d_.Hk / d_.H) * d_.L + t) * d_.D + c);
  }
  double value(Index t, Index e) const {
    return p_.v[index(t) * static_cast<std::size_t>(d_.E) + static_cast<std::size_t>(e)];
  }
  double upstream(Index t, Index e) const {
    return p_.dy[index(t) * static_cast<std::size_t>(d_.E) + static_cast<std::size_t>(e)];
  }
  bool padded(Index t) const { return !p_.key_mask.empty() && !p_.key_mask[static_cast<std::size_t>(b_ * d_.L + t)]; }
  double factor(std::size_t r, Index t) const { return p_.gate.empty() ? 1 : p_.gate[r][index(t)]; }
  double dot(Index i, Index j) const {
    double sum = 0;
    for (Index c = 0; c < d_.D; ++c) sum += p_.q[shared(i, c)] * p_.k[shared(j, c)];
    return sum;
  }

  /// f(i, j, M_ij, first, last) for every pair that is not masked away; the decays of places first … last−1 of the
  /// walk are what lies between.
  template <class F>
  void for_each_pair(std::size_t r, F&& f) const {
    const std::vector<Index>& order = p_.orders[r];
    const auto token = [&](Index place) { return order.empty() ? place : order[static_cast<std::size_t>(place)]; };
    const std::vector<Index> whole{0, d_.L};
    const std::vector<Index>& cuts = p_.cu_seqlens.empty() ? whole : p_.cu_seqlens;
    for (std::size_t s = 0; s + 1 < cuts.size(); ++s) {
      for (Index x = cuts[s]; x < cuts[s + 1]; ++x) {
        const auto visit = [&](Index z, Index first, Index last, double log) {
          if (!padded(token(z))) f(token(x), token(z), std::exp(log), first, last);
        };
        visit(x, 0, 0, 0.0);
        double log = 0;
        for (Index z = x - 1; p_.past && z >= cuts[s]; --z) {
          log += p_.log_lambda[r][index(token(z))];
          visit(z, z, x, log);
        }
        log = 0;
        for (Index z = x + 1; p_.future && z < cuts[s + 1]; ++z) {
          log += p_.log_lambda[r][index(token(z))];
          visit(z, x + 1, z + 1, log);
        }
      }
    }
  }

  void gradients(const std::vector<double>& dd, double share) {
    for (std::size_t r = 0; r < p_.log_lambda.size(); ++r) {
      const std::vector<Index>& order = p_.orders[r];
      std::vector<double> steps(static_cast<std::size_t>(d_.L) + 1), fixed_steps(steps);
      for_each_pair(r, [&](Index i, Index j, double m, Index first, Index last) {
        const double delta = a_.row_sum[index(i)], inverse = delta == 0 ? 0 : 1 / delta;
        const double weight = share * p_.scale * m, score = weight * dot(i, j) * factor(r, j);
        double fixed = 0;
        for (Index e = 0; e < d_.E; ++e) {
          fixed += inverse * upstream(i, e) * value(j, e);
          a_.dv[index(j) * static_cast<std::size_t>(d_.E) + static_cast<std::size_t>(e)] +=
              score * inverse * upstream(i, e);
        }
        const double slope = fixed + dd[static_cast<std::size_t>(i)];
        for (Index c = 0; c < d_.D; ++c) {
          const double key = p_.k[shared(j, c)] * factor(r, j), query = p_.q[shared(i, c)] * factor(r, j);
          a_.dq[shared(i, c)] += weight * slope * key;
          a_.dk[shared(j, c)] += weight * slope * query;
          a_.fixed_dq[shared(i, c)] += weight * fixed * key;
          a_.fixed_dk[shared(j, c)] += weight * fixed * query;
        }
        if (!p_.gate.empty()) {
          a_.dgate[r][index(j)] += weight * slope * dot(i, j);
          a_.fixed_dgate[r][index(j)] += weight * fixed * dot(i, j);
        }
        if (first == last) return;
        steps[static_cast<std::size_t>(first)] += score * slope;
        steps[static_cast<std::size_t>(last)] -= score * slope;
        fixed_steps[static_cast<std::size_t>(first)] += score * fixed;
        fixed_steps[static_cast<std::size_t>(last)] -= score * fixed;
      });
      double sum = 0, fixed_sum = 0;
      for (Index place = 0; place < d_.L; ++place) {
        sum += steps[static_cast<std::size_t>(place)];
        fixed_sum += fixed_steps[static_cast<std::size_t>(place)];
        const std::size_t at = index(order.empty() ? place : order[static_cast<std::size_t>(place)]);
        if (!std::isinf(p_.log_lambda[r][at])) {
          a_.dlog_lambda[r][at] = sum;
          a_.fixed_dlog_lambda[r][at] = fixed_sum;
        }
      }
    }
  }

  const Problem& p_;
  Answer& a_;
  const AttentionDims& d_;
  Index b_, h_;
};

}  // namespace detail

inline Answer dense_answer(const Problem& p) {
  const AttentionDims& d = p.dims;
  const auto zeros = [](Index n) { return std::vector<double>(static_cast<std::size_t>(n)); };
  Answer a;
  a.y = a.dv = zeros(d.B * d.H * d.L * d.E);
  a.row_sum = zeros(d.B * d.H * d.L);
  a.dq = a.dk = a.fixed_dq = a.fixed_dk = zeros(d.B * d.Hk * d.L * d.D);
  a.dlog_lambda.assign(p.log_lambda.size(), zeros(d.B * d.H * d.L));
  a.dgate = a.fixed_dgate = a.fixed_dlog_lambda = a.dlog_lambda;
  for (Index b = 0; b < d.B; ++b) {
    for (Index h = 0; h < d.H; ++h) detail::DenseHead(p, a, b, h).run();
  }
  return a;
}

}  // namespace lion::test
