#pragma once
/// Feature maps: what is done to q and k before attention, one row of D entries at a time.
///
/// A feature map `F` has
///   static constexpr std::string_view name;
///   template <Real A> static void forward(const A* x, A* y, Index n);                    y = φ(x)
///   template <Real A> static void backward(const A* x, const A* dy, A* dx, Index n);     dx = φ'(x)ᵀ dy
/// in place if wished; nothing of forward is kept for backward but x. For a GPU it also has, unless it is Identity,
///   static constexpr bool normalised;                   whether a row is divided by its norm afterwards
///   template <class Dev, Real A> LION_DEVICE static A entry(A x);   what becomes of one entry before that
///   template <class Dev, Real A> LION_DEVICE static A slope(A x);   its derivative

#include "lion/feature/identity.hpp"
#include "lion/feature/normalised_shifted_silu.hpp"
#include "lion/feature/shifted_elu.hpp"

namespace lion::feature {

template <class F>
concept Feature = requires(const double* x, double* y) {
  { F::name } -> std::convertible_to<std::string_view>;
  F::template forward<double>(x, y, Index(1));
  F::template backward<double>(x, x, y, Index(1));
};

}  // namespace lion::feature
