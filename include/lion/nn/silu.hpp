#pragma once
/// SiLU, x·σ(x) with σ the logistic function, and its derivative.

#include <Eigen/Core>
#include <algorithm>

#include "lion/core/scalar.hpp"

namespace lion::nn {

/// x·σ(x) of any array, as an array of the same size.
template <class Array>
typename Array::PlainObject silu(const Array& x) {
  using S = typename Array::Scalar;
  return x / (S(1) + (-x).exp());
}

/// σ(x)·(1 + x·(1 - σ(x))).
template <class Array>
typename Array::PlainObject silu_derivative(const Array& x) {
  using S = typename Array::Scalar;
  const typename Array::PlainObject gate = (S(1) + (-x).exp()).inverse();
  return gate * (S(1) + x * (S(1) - gate));
}

namespace detail {
/// Values on the stack: being aligned, they give the same bits wherever the caller's rows lie.
template <Real S>
using SiluBlock = Eigen::Array<S, Eigen::Dynamic, 1, 0, 64, 1>;
template <Real S>
using SiluInput = Eigen::Map<const Eigen::Array<S, Eigen::Dynamic, 1>>;
}  // namespace detail

/// y *= factor·silu(x), both [n].
template <Real S>
void multiply_by_silu(const S* x, S* y, Index n, S factor = S(1)) {
  for (Index i = 0; i < n; i += 64) {
    const Index m = (std::min)(Index(64), n - i);
    detail::SiluBlock<S> in = detail::SiluInput<S>(x + i, m);
    in = silu(in) * factor * detail::SiluInput<S>(y + i, m);
    std::copy_n(in.data(), m, y + i);
  }
}

/// Backward of w = factor·y·silu(x), all [n]: from dw (in dy) the gradients dx and dy; y becomes w.
template <Real S>
void gated_backward(const S* x, S* y, S* dy, S* dx, Index n, S factor = S(1)) {
  using Block = detail::SiluBlock<S>;
  for (Index i = 0; i < n; i += 64) {
    const Index m = (std::min)(Index(64), n - i);
    const Block in = detail::SiluInput<S>(x + i, m);
    const Block value = detail::SiluInput<S>(y + i, m), upstream = detail::SiluInput<S>(dy + i, m) * factor;
    const Block gate = (S(1) + (-in).exp()).inverse();
    Block out = upstream * value * gate * (S(1) + in * (S(1) - gate));
    std::copy_n(out.data(), m, dx + i);
    out = in * gate * upstream;
    std::copy_n(out.data(), m, dy + i);
    out = in * gate * factor * value;
    std::copy_n(out.data(), m, y + i);
  }
}

}  // namespace lion::nn
