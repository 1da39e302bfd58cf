#pragma once
/// From the log-decays of a stretch of tokens to everything the forms multiply by: the arithmetic that all masks,
/// forms and backends share (math.md §1, §3).
///
/// For a stretch [a,b) of the walk, c_m is the sum of its first m log-decays, from its own start and in double: a
/// float32 difference of sums over a long sequence is wrong in the third digit. All weights are e to a difference of
/// these, never above 1:
///
///     left[m]  = e^(c_m − c_a)    token i looks at the state on its left with left[i], enters it with left[i+1]
///     right[m] = e^(c_b − c_m)    token i looks at the state on its right with right[i+1], enters it with right[i]
///     M_ij     = e^(c_i − c_j) for i ≥ j,  e^(c_{j+1} − c_{i+1}) for i ≤ j

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::mask {

/// Stands for log 0 in sums: e^kCut is 0 in double, and a difference of sums that contain it is finite, so λ = 0 cuts
/// without ∞ − ∞. Any log-decay below it gives weights that are 0 in double all the same.
inline constexpr double kCut = -800.0;

LION_HOST_DEVICE constexpr double bounded(double log_decay) { return log_decay > kCut ? log_decay : kCut; }

/// log M_ij inside a stretch with prefix sums c.
LION_HOST_DEVICE constexpr double log_mask(const double* c, Index i, Index j) {
  return i >= j ? c[i] - c[j] : c[j + 1] - c[i + 1];
}

/// Exponents below this give 0 in A (the smallest normal number): how far a sum can reach and still be seen.
template <class A>
inline constexpr double kHorizon = sizeof(A) == 4 ? -87.3 : -708.3;

}  // namespace lion::mask
