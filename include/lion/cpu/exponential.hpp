#pragma once
/// e^x of vectors, for the weights of a mask and GELU: exponents are never above 0.

#include <cstdint>
#include <iterator>
#include <utility>

#include "lion/cpu/vector.hpp"
#include "lion/mask/tile_decay.hpp"

namespace lion::cpu {

namespace detail {

template <class A>
struct ExponentialConstants;

/// Σ_k r^k / k! beyond 1 + r, fitted on |r| ≤ ln 2 / 2 (Cephes, expf).
template <>
struct ExponentialConstants<float> {
  using Bits = std::uint32_t;
  static constexpr float round = 12582912.0f;  // 1.5·2^23: what is added to it is rounded, and stands in the low bits
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr int mantissa = 23;
  static constexpr float terms[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                    4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
};

/// The series itself, to a relative 1e-17.
template <>
struct ExponentialConstants<double> {
  using Bits = std::uint64_t;
  static constexpr double round = 6755399441055744.0;  // 1.5·2^52
  static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
  static constexpr int mantissa = 52;
  static constexpr double terms[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                     1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                                     1.0 / 120,        1.0 / 24,        1.0 / 6,        1.0 / 2};
};

}  // namespace detail

/// e^x, to an ulp or so, for x ≤ 0; exactly 0 below the horizon (and what that gives is never subnormal).
template <class A>
inline Packed<A> exponential(Packed<A> x) {
  using C = detail::ExponentialConstants<A>;
  using Bits = Packed<typename C::Bits>;
  constexpr A horizon = static_cast<A>(mask::kHorizon<A>), log2_e = static_cast<A>(1.4426950408889634074);
  const Packed<A> lowest = filled(horizon);
  const Packed<A> bounded = x > lowest ? x : lowest;
  const Packed<A> shifted = bounded * log2_e + C::round;
  const Packed<A> n = shifted - C::round;
  const Packed<A> r = (bounded - n * C::ln2_high) - n * C::ln2_low;
  Packed<A> tail = filled<A>(C::terms[0]);
  const auto horner = [&]<std::size_t... k>(std::index_sequence<k...>) { ((tail = tail * r + C::terms[k + 1]), ...); };
  horner(std::make_index_sequence<std::size(C::terms) - 1>());
  const Packed<A> fraction = (tail * r) * r + r + A(1);
  const Bits scaled = same_bits<Bits>(fraction) + (same_bits<Bits>(shifted) << C::mantissa);
  return x > lowest ? same_bits<Packed<A>>(scaled) : filled(A(0));
}

/// x[i] = e^x[i] up to padded(n).
template <class A>
void exponentials(A* x, Index n) {
  for (Index i = 0; i < n; i += kWidth<A>) store(x + i, exponential<A>(load(x + i)));
}

}  // namespace lion::cpu
