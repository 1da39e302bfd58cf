#pragma once
/// How far an answer may be from another (the limits of the project, float64 definition as the truth).

#include "support/attention_run.hpp"
#include "support/catch.hpp"

namespace lion::test {

struct Limits {
  double outputs, gradients;
};

template <class T>
constexpr Limits limits() {
  if (std::is_same_v<T, double>) return {1e-10, 1e-9};
  if (std::is_same_v<T, float>) return {1e-5, 1e-4};
  return {5e-3, 2e-2};
}

/// The largest of a set of errors, NaN if any is.
inline double worst(std::initializer_list<double> errors) {
  double result = 0;
  for (double error : errors) result = std::isnan(error) || std::isnan(result) ? NAN : std::fmax(result, error);
  return result;
}

/// Requires `got` within the limits of `wanted`; gradients by the larger of their norm and the yardstick.
template <class M>
void require_close(const Answer& got, const Answer& wanted, const AttentionDims& dims, const Limits& limits) {
  CHECK(relative_error(got.y, wanted.y) <= limits.outputs);
  if (got.dq.empty() && got.dv.empty()) return;
  CHECK(relative_error(got.dq, wanted.dq, norm(wanted.fixed_dq)) <= limits.gradients);
  CHECK(relative_error(got.dk, wanted.dk, norm(wanted.fixed_dk)) <= limits.gradients);
  CHECK(relative_error(got.dv, wanted.dv) <= limits.gradients);
  for (std::size_t r = 0; r < got.dlog_lambda.size(); ++r) {
    INFO("mask " << r);
    if constexpr (M::decay == mask::DecayKind::per_head) {
      CHECK(relative_error(got.dlog_lambda[r], per_head(wanted.dlog_lambda[r], dims),
                           norm(per_head(wanted.fixed_dlog_lambda[r], dims))) <= limits.gradients);
    } else if constexpr (M::decay == mask::DecayKind::per_token) {
      CHECK(relative_error(got.dlog_lambda[r], wanted.dlog_lambda[r], norm(wanted.fixed_dlog_lambda[r])) <=
            limits.gradients);
    }
    if constexpr (M::gated) {
      CHECK(relative_error(got.dgate[r], wanted.dgate[r], norm(wanted.fixed_dgate[r])) <= limits.gradients);
    }
  }
}

}  // namespace lion::test
