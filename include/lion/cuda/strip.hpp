#pragma once
/// Sums in the registers of a warp, and the products that add to them. A product's operands are tiles in shared memory
/// or, on the left, another strip. 16-bit operands go through tensor cores, wider ones through plain multiply-adds.
///
/// `Dev` is one thread of a block: cuda/gpu.hpp, or an emulation on the CPU.

#include <bit>
#include <cstdint>
#include <type_traits>

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::cuda {

/// Rows of a strip: what one warp works on.
inline constexpr int kStripRows = 16;

/// Elements after each row of a tile in shared memory: rows then begin 16 bytes apart modulo 128, so that eight of them
/// are read without two meeting in a bank.
template <class T>
inline constexpr int kSkew = 16 / static_cast<int>(sizeof(T));

/// Whether products of T run on tensor cores.
template <class T>
inline constexpr bool kTensor = sizeof(T) == 2;

/// [16, N] sums over the 32 lanes of a warp, as tensor cores lay them out: lane l has rows l/4 and l/4 + 8, and of
/// every eight columns 2(l%4) and the next.
template <class A, int N>
struct Strip {
  static_assert(N % 8 == 0);
  static constexpr int kTiles = N / 8;
  A values[kTiles][4];  // [tile of eight columns][row of two × column of two]

  LION_DEVICE void clear() {
    LION_UNROLL
    for (int j = 0; j < kTiles; ++j) values[j][0] = values[j][1] = values[j][2] = values[j][3] = A(0);
  }

  LION_DEVICE static int row(int lane, int part) { return lane / 4 + 8 * (part / 2); }
  LION_DEVICE static int column(int lane, int tile, int part) { return 8 * tile + 2 * (lane % 4) + part % 2; }

  /// f(row, column, value) for the lane's values.
  template <class F>
  LION_DEVICE void for_each(int lane, F&& f) {
    LION_UNROLL
    for (int j = 0; j < kTiles; ++j) {
      LION_UNROLL
      for (int part = 0; part < 4; ++part) f(row(lane, part), column(lane, j, part), values[j][part]);
    }
  }

  /// f(row, column, value, other's value).
  template <class F>
  LION_DEVICE void zip(int lane, Strip& other, F&& f) {
    LION_UNROLL
    for (int j = 0; j < kTiles; ++j) {
      LION_UNROLL
      for (int part = 0; part < 4; ++part) {
        f(row(lane, part), column(lane, j, part), values[j][part], other.values[j][part]);
      }
    }
  }

  LION_DEVICE void scale(A factor) {
    LION_UNROLL
    for (int j = 0; j < kTiles; ++j) {
      LION_UNROLL
      for (int part = 0; part < 4; ++part) values[j][part] *= factor;
    }
  }
};

/// A matrix in shared memory: (i, j) is data[i · stride + j], or data[j · stride + i] if it is transposed.
template <class T, bool transposed_>
struct Operand {
  static constexpr bool transposed = transposed_;
  const T* data;
  int stride;
  LION_DEVICE const T* at(int i, int j) const { return transposed ? data + j * stride + i : data + i * stride + j; }
};

template <class T>
LION_DEVICE Operand<T, false> plain(const T* data, int stride) {
  return {data, stride};
}
template <class T>
LION_DEVICE Operand<T, true> transposed(const T* data, int stride) {
  return {data, stride};
}

namespace detail {

/// Where a lane's row of an 8×8 matrix begins, of the four that make the first 16×16 elements, one below the other
/// before the next column of them.
template <class T, bool transposed>
LION_DEVICE const T* matrix_row(Operand<T, transposed> x, int lane) {
  const int row = lane / 8 % 2 * 8, column = lane / 16 * 8;
  return transposed ? x.at(row, column + lane % 8) : x.at(row + lane % 8, column);
}

/// Elements from there to the same row of the 16×16 elements from (i, j) on.
template <class T, bool transposed>
LION_DEVICE int matrix_offset(Operand<T, transposed> x, int i, int j) {
  return transposed ? j * x.stride + i : i * x.stride + j;
}

/// The right operand's [16, 8] or [16, 16] elements from (k, column) on, for one or two products.
template <class Dev, class T, bool transposed, int registers>
LION_DEVICE void load_right(const Dev& dev, Operand<T, transposed> right, int k, int column,
                            unsigned (&to)[registers]) {
  dev.template load_matrices<!transposed>(matrix_row(right, dev.lane() % (8 * registers)),
                                          matrix_offset(right, k, column), to);
}

template <class Dev, class A, int N, class T, bool transposed>
LION_DEVICE void add_tensor_step(const Dev& dev, Strip<A, N>& to, const unsigned (&left)[4],
                                 Operand<T, transposed> right, int k) {
  constexpr int kPairs = Strip<A, N>::kTiles / 2;
  LION_UNROLL
  for (int pair = 0; pair < kPairs; ++pair) {
    unsigned b[4];
    load_right(dev, right, k, 16 * pair, b);
    const unsigned first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
    dev.template multiply<T>(to.values[2 * pair], left, first);
    dev.template multiply<T>(to.values[2 * pair + 1], left, second);
  }
  if constexpr (Strip<A, N>::kTiles % 2 == 1) {
    unsigned b[2];
    load_right(dev, right, k, 16 * kPairs, b);
    dev.template multiply<T>(to.values[2 * kPairs], left, b);
  }
}

/// to += x0, x1 (of the lane's two rows) times row k of the right operand.
template <class Dev, class A, int N, class T, bool transposed>
LION_DEVICE void add_outer(const Dev& dev, Strip<A, N>& to, A x0, A x1, Operand<T, transposed> right, int k) {
  LION_UNROLL
  for (int j = 0; j < Strip<A, N>::kTiles; ++j) {
    const int column = Strip<A, N>::column(dev.lane(), j, 0);
    const A b0 = Dev::widen(*right.at(k, column)), b1 = Dev::widen(*right.at(k, column + 1));
    to.values[j][0] += x0 * b0;
    to.values[j][1] += x0 * b1;
    to.values[j][2] += x1 * b0;
    to.values[j][3] += x1 * b1;
  }
}

}  // namespace detail

/// to += left [16, K] · right [K, N].
template <int K, class Dev, class A, int N, class T, bool left_transposed, bool right_transposed>
LION_DEVICE void add_product(const Dev& dev, Strip<A, N>& to, Operand<T, left_transposed> left,
                             Operand<T, right_transposed> right) {
  if constexpr (kTensor<T>) {
    LION_UNROLL
    for (int k = 0; k < K; k += 16) {
      unsigned a[4];
      dev.template load_matrices<left_transposed>(detail::matrix_row(left, dev.lane()),
                                                  detail::matrix_offset(left, 0, k), a);
      detail::add_tensor_step(dev, to, a, right, k);
    }
  } else {
    const int row = dev.lane() / 4;
    for (int k = 0; k < K; ++k) {
      detail::add_outer(dev, to, Dev::widen(*left.at(row, k)), Dev::widen(*left.at(row + 8, k)), right, k);
    }
  }
}

/// to += left [16, K] diag(weight) · right [K, N], with the weighted left operand rounded to T; nothing of a column
/// whose weight is 0, whatever it holds.
template <int K, class Dev, class A, int N, class T, bool left_transposed, bool right_transposed, class Weight>
LION_DEVICE void add_product(const Dev& dev, Strip<A, N>& to, Operand<T, left_transposed> left,
                             Operand<T, right_transposed> right, Weight&& weight)
  requires(std::is_invocable_v<Weight, int>)
{
  if constexpr (kTensor<T>) {
    const auto weigh = [&](unsigned pair, int k) {
      const T low = std::bit_cast<T>(static_cast<std::uint16_t>(pair & 0xffffu));
      const T high = std::bit_cast<T>(static_cast<std::uint16_t>(pair >> 16));
      const A first = weight(k), second = weight(k + 1);
      return dev.template pack<T>(first == A(0) ? A(0) : first * Dev::widen(low),
                                  second == A(0) ? A(0) : second * Dev::widen(high));
    };
    LION_UNROLL
    for (int k = 0; k < K; k += 16) {
      unsigned a[4];
      dev.template load_matrices<left_transposed>(detail::matrix_row(left, dev.lane()),
                                                  detail::matrix_offset(left, 0, k), a);
      const int column = k + dev.lane() % 4 * 2;  // of a lane's pairs, as tensor cores take them
      a[0] = weigh(a[0], column), a[1] = weigh(a[1], column);
      a[2] = weigh(a[2], column + 8), a[3] = weigh(a[3], column + 8);
      detail::add_tensor_step(dev, to, a, right, k);
    }
  } else {
    const int row = dev.lane() / 4;
    for (int k = 0; k < K; ++k) {
      const A x = weight(k);
      if (x == A(0)) continue;
      detail::add_outer(dev, to, x * Dev::widen(*left.at(row, k)), x * Dev::widen(*left.at(row + 8, k)), right, k);
    }
  }
}

/// to += left [16, K] · right [K, N], with the left operand rounded to T. Tensor cores take it from the registers it is
/// in; plain products take it from `staging` [16, K + skew], the warp's own.
template <class Dev, class A, int K, int N, class T, bool right_transposed>
LION_DEVICE void add_product(const Dev& dev, Strip<A, N>& to, Strip<A, K>& left, Operand<T, right_transposed> right,
                             T* staging) {
  if constexpr (kTensor<T>) {
    LION_UNROLL
    for (int k = 0; k < K; k += 16) {
      const A(&x)[4] = left.values[k / 8];  // a strip's columns lie in the lanes as an operand's do
      const A(&y)[4] = left.values[k / 8 + 1];
      const unsigned a[4] = {dev.template pack<T>(x[0], x[1]), dev.template pack<T>(x[2], x[3]),
                             dev.template pack<T>(y[0], y[1]), dev.template pack<T>(y[2], y[3])};
      detail::add_tensor_step(dev, to, a, right, k);
    }
  } else {
    constexpr int kStride = K + kSkew<T>;
    left.for_each(dev.lane(), [&](int row, int column, A value) { staging[row * kStride + column] = value; });
    dev.warp_barrier();
    add_product<K>(dev, to, plain(static_cast<const T*>(staging), kStride), right);
    dev.warp_barrier();  // before it is written again
  }
}

/// to += diag(weight) left [16, K] · right [K, N], with the weights of the lane's two rows. Some columns at a
/// time, for the sake of registers.
template <int K, int first = 0, class Dev, class A, int N, class T, bool left_transposed, bool right_transposed>
LION_DEVICE void add_weighted_product(const Dev& dev, Strip<A, N>& to, A weight, A weight_below,
                                      Operand<T, left_transposed> left, Operand<T, right_transposed> right) {
  constexpr int most = 128 / static_cast<int>(sizeof(A)), width = N - first < most ? N - first : most;
  Strip<A, width> product;
  product.clear();
  add_product<K>(dev, product, left, Operand<T, right_transposed>{right.at(0, first), right.stride});
  LION_UNROLL
  for (int j = 0; j < width / 8; ++j) {
    A(&values)[4] = to.values[first / 8 + j];
    values[0] += weight * product.values[j][0];
    values[1] += weight * product.values[j][1];
    values[2] += weight_below * product.values[j][2];
    values[3] += weight_below * product.values[j][3];
  }
  if constexpr (first + width < N) {
    add_weighted_product<K, first + width>(dev, to, weight, weight_below, left, right);
  }
}

}  // namespace lion::cuda
