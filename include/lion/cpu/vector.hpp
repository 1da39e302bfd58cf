#pragma once
/// Vectors of the width the compiler is told of (-march), by the vector extension that GCC and clang share.

#include <cmath>
#include <cstring>

#include "lion/core/scalar.hpp"

namespace lion::cpu {

#if defined(__AVX512F__)
inline constexpr Index kVectorBytes = 64;
inline constexpr Index kVectorRegisters = 32;
#elif defined(__AVX__)
inline constexpr Index kVectorBytes = 32;
inline constexpr Index kVectorRegisters = 16;
#else
inline constexpr Index kVectorBytes = 16;
inline constexpr Index kVectorRegisters = 16;
#endif

/// Entries of A in a vector.
template <class A>
inline constexpr Index kWidth = kVectorBytes / static_cast<Index>(sizeof(A));

/// A row of a tile takes this many entries: products need no remainders, and what is beyond the width is zero.
template <class A>
constexpr Index padded(Index width) {
  return (width + kWidth<A> - 1) / kWidth<A> * kWidth<A>;
}

namespace detail {
template <class A>
struct VectorOf {
  typedef A type __attribute__((vector_size(kVectorBytes)));
};
template <class A>
struct UnalignedVectorOf {
  typedef A type __attribute__((vector_size(kVectorBytes), aligned(alignof(A)), may_alias));
};
}  // namespace detail

template <class A>
using Packed = typename detail::VectorOf<A>::type;

/// The bits of a vector as another type of the same size (a cast between vectors is not in nvcc's language, and To is a
/// Packed: nvcc makes a scalar of a local vector type among template arguments).
template <class To, class From>
inline To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

template <class A>
inline Packed<A> load(const A* from) {
  return *reinterpret_cast<const typename detail::UnalignedVectorOf<A>::type*>(from);
}
template <class A>
inline void store(A* to, Packed<A> value) {
  *reinterpret_cast<typename detail::UnalignedVectorOf<A>::type*>(to) = value;
}

/// A vector of one value. (Packed<A>{} as part of an expression in a template ends nvcc 13.)
template <class A>
inline Packed<A> filled(A value) {
  const Packed<A> zero{};
  return zero + value;
}

namespace detail {

/// Sum of the entries by halves.
template <class A, Index width, class V>
inline A sum(const V& v) {
  typedef A Half __attribute__((vector_size(width / 2 * sizeof(A))));
  if constexpr (width == 16) {
    const Half half = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return sum<A, 8>(half);
  } else if constexpr (width == 8) {
    const Half half = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return sum<A, 4>(half);
  } else if constexpr (width == 4) {
    return (v[0] + v[2]) + (v[1] + v[3]);
  } else {
    return v[0] + v[1];
  }
}

}  // namespace detail

template <class A>
inline A sum(const Packed<A>& value) {
  return detail::sum<A, kWidth<A>>(value);
}

/// Σ a[i]·b[i] over a padded width.
template <class A>
inline A dot(const A* a, const A* b, Index width) {
  Packed<A> total{};
  for (Index i = 0; i < width; i += kWidth<A>) total += load(a + i) * load(b + i);
  return sum<A>(total);
}

/// to[i] = factor · from[i], any width.
template <class A>
inline void scale_row(const A* from, Index width, A factor, A* to) {
  Index i = 0;
  for (; i + kWidth<A> <= width; i += kWidth<A>) store(to + i, factor * load(from + i));
  for (; i < width; ++i) to[i] = factor * from[i];
}

/// to[i] += factor · from[i], any width.
template <class A>
inline void add_row(const A* from, Index width, A factor, A* to) {
  Index i = 0;
  for (; i + kWidth<A> <= width; i += kWidth<A>) store(to + i, load(to + i) + factor * load(from + i));
  for (; i < width; ++i) to[i] += factor * from[i];
}

/// to[i] *= factor · by[i], any width.
template <class A>
inline void multiply_row(const A* by, Index width, A factor, A* to) {
  Index i = 0;
  for (; i + kWidth<A> <= width; i += kWidth<A>) store(to + i, load(to + i) * (factor * load(by + i)));
  for (; i < width; ++i) to[i] *= factor * by[i];
}

/// x[i] = 0 where it is below `smallest`, any width.
template <class A>
inline void flush_row(A* x, Index width, A smallest) {
  Index i = 0;
  for (; i + kWidth<A> <= width; i += kWidth<A>) {
    const Packed<A> value = load(x + i);
    store(x + i, value < smallest ? filled(A(0)) : value);
  }
  for (; i < width; ++i) x[i] = x[i] < smallest ? A(0) : x[i];
}

/// Σ from[i], any width.
template <class A>
inline A sum_row(const A* from, Index width) {
  Packed<A> total{};
  Index i = 0;
  for (; i + kWidth<A> <= width; i += kWidth<A>) total += load(from + i);
  A rest = sum<A>(total);
  for (; i < width; ++i) rest += from[i];
  return rest;
}

/// to[i] += a[i]·b[i], any width; returns the sum of these products.
template <class A>
inline A add_products(const A* a, const A* b, Index width, A* to) {
  Packed<A> total{};
  Index i = 0;
  for (; i + kWidth<A> <= width; i += kWidth<A>) {
    const Packed<A> product = load(a + i) * load(b + i);
    store(to + i, load(to + i) + product);
    total += product;
  }
  A rest = sum<A>(total);
  for (; i < width; ++i) {
    const A product = a[i] * b[i];
    to[i] += product;
    rest += product;
  }
  return rest;
}

/// A decay to be applied over and over: S = keep·S + change·S. Near 1 it is written as a small change, whose rounding
/// is small too; 65,536 times a rounded λ just below 1 is wrong in the third digit.
template <class A>
struct Fade {
  A keep = 1, change = 0;

  static Fade by(double log_decay) {
    if (log_decay > -0.5) return {A(1), static_cast<A>(std::expm1(log_decay))};
    return {static_cast<A>(std::exp(log_decay)), A(0)};
  }
  bool none() const { return keep == A(1) && change == A(0); }
  bool all() const { return keep == A(0) && change == A(0); }
};

/// x = fade x + factor · from, over a padded width; rounded once.
template <class A>
inline void fade_and_add(Fade<A> fade, A factor, const A* from, Index width, A* x) {
  for (Index i = 0; i < width; i += kWidth<A>) {
    const Packed<A> value = load(x + i);
    store(x + i, fade.keep * value + (fade.change * value + factor * load(from + i)));
  }
}

}  // namespace lion::cpu
