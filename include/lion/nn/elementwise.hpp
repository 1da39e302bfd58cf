#pragma once
/// Sums, products and copies of token matrices [N,C].

#include "lion/nn/product.hpp"

namespace lion::nn {

namespace detail {
/// f(block of each matrix) for blocks of rows.
template <class F, class First, class... Others>
void for_each_rows(const Executor& executor, F&& f, const First& first, const Others&... others) {
  const Index width = first.extent(1);
  for_each_block(first.extent(0), kRowBlock, executor, [&](Index row, Index n) {
    f(map(first, row, n, 0, width).array(), map(others, row, n, 0, width).array()...);
  });
}
}  // namespace detail

/// out = x.
template <Real S>
void copy(const View<const S, 2>& x, const View<S, 2>& out, const Executor& executor) {
  detail::for_each_rows(
      executor, [](auto&& to, auto&& from) { to = from; }, out, x);
}

/// out = x + y; out may be either.
template <Real S>
void add(const View<const S, 2>& x, const View<const S, 2>& y, const View<S, 2>& out, const Executor& executor) {
  detail::for_each_rows(
      executor, [](auto&& to, auto&& a, auto&& b) { to = a + b; }, out, x, y);
}

/// x *= y, entry by entry.
template <Real S>
void multiply(const View<S, 2>& x, const View<const S, 2>& y, const Executor& executor) {
  detail::for_each_rows(
      executor, [](auto&& to, auto&& by) { to *= by; }, x, y);
}

/// x = 0.
template <Real S>
void clear(const View<S, 2>& x, const Executor& executor) {
  detail::for_each_rows(
      executor, [](auto&& to) { to.setZero(); }, x);
}

}  // namespace lion::nn
