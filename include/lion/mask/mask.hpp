#pragma once
/// What a mask is: a type that supplies scalars, and nothing else.
///
/// A mask `M` has
///   static constexpr std::string_view name;       for messages
///   static constexpr DecayKind decay;             how many log-decays there are
///   static constexpr bool gated;                  whether there is a gate γ on the keys
///   template <class A> struct Parameters;         where the scalars come from
///   template <class A> struct Gradients;          where their gradients go
/// with A float or double, the type of arithmetic. `Parameters` has, as its kind asks,
///   A log_decay(Index h) const;                   ℓ = log λ in [-∞, 0], one per head
///   A log_decay(Index b, Index h, Index t) const; one per token
///   A gate(Index b, Index h, Index t) const;      γ: k_t is replaced by γ k_t
///   void check(const AttentionDims&) const;       throws ArgumentError; called before anything is written
///   void check_shapes(const AttentionDims&) const; the same without reading a value, for memory that the host cannot
///                                                 read: asked for by backend::Cuda alone, whose kernels call
///                                                 log_decay and gate (marked LION_HOST_DEVICE) of a copy
/// and `Gradients` the same names, each with the value to store as a last argument, and check(dims), which reads shapes
/// alone. Each place is written once in a call, the places of different (b, h) perhaps from different threads; kernels
/// of backend::Cuda write through a copy (and ask for LION_HOST_DEVICE). Tokens t are always in token order. All that
/// is derived from these scalars (sums, weights, tiles) is shared by every mask: mask/tile_decay.hpp.

#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

#include "lion/core/config.hpp"
#include "lion/core/view.hpp"

namespace lion {

/// B batch, H heads of v, Hk heads of q and k (divides H), L tokens, D key width, E value width.
struct AttentionDims {
  Index B = 0, H = 0, Hk = 0, L = 0, D = 0, E = 0;
};

namespace mask {

enum class DecayKind {
  none,      ///< λ = 1 everywhere: one global state serves all tokens
  per_head,  ///< one λ per head: everything derived is derived once per head
  per_token  ///< one λ per token and head
};

namespace detail {

/// What Parameters and Gradients must offer, by the mask's kind and gate.
template <class M, class A>
concept Parts = requires(const typename M::template Parameters<A>& p, const typename M::template Gradients<A>& g,
                         const AttentionDims& dims, Index i, A value) {
  p.check(dims);
  g.check(dims);
  requires M::decay != DecayKind::per_head || requires {
    { p.log_decay(i) } -> std::convertible_to<A>;
    g.log_decay(i, value);
  };
  requires M::decay != DecayKind::per_token || requires {
    { p.log_decay(i, i, i) } -> std::convertible_to<A>;
    g.log_decay(i, i, i, value);
  };
  requires !M::gated || requires {
    { p.gate(i, i, i) } -> std::convertible_to<A>;
    g.gate(i, i, i, value);
  };
};

}  // namespace detail

template <class M>
concept Mask = requires {
  { M::name } -> std::convertible_to<std::string_view>;
  { M::decay } -> std::convertible_to<DecayKind>;
  { M::gated } -> std::convertible_to<bool>;
} && detail::Parts<M, float> && detail::Parts<M, double>;

/// Throws ArgumentError unless the log-decay at `index` of `argument` is in [-∞, 0] (NaN is not).
template <std::size_t Rank, class A>
void require_log_decay(A value, const char* argument, const Shape<Rank>& index) {
  if (value <= A(0)) return;
  throw ArgumentError(std::string("attention: ") + argument + to_string(index) + " is " + std::to_string(value) +
                      ", expected a value in [-inf, 0]");
}

}  // namespace mask
}  // namespace lion
