#pragma once
/// The products of a linear layer, forward and backward, of matrices larger than the caches. Eigen's packs both factors
/// anew for every 128 rows; laying out one of them alone, once for up to 512 rows, takes 0.74 to 0.86 of its time and
/// reaches 0.78 to 0.88 of the peak at a base model's layers, 1,576 rows. The weight gradient lays out both, takes 0.70
/// to 0.73 of Eigen's time and reaches 0.77 to 0.83 (bench/linear.cpp, AVX-512).

#include <algorithm>
#include <span>

#include "lion/core/config.hpp"
#include "lion/core/tensor.hpp"
#include "lion/cpu/ahead.hpp"
#include "lion/cpu/product.hpp"
#include "lion/cpu/vector.hpp"

namespace lion::cpu {

/// Whether the products below are Eigen's of whole matrices, which EIGEN_USE_BLAS hands to a BLAS, with memory of its
/// own. lion::blas defines both macros, which must be the same in all files of a program.
#ifdef LION_BLAS
#ifndef EIGEN_USE_BLAS
#error "LION_BLAS is defined without EIGEN_USE_BLAS: link lion::blas, or define both."
#endif
inline constexpr bool kBlas = true;
#else
inline constexpr bool kBlas = false;
#endif

/// What a product is added to: rows [n, m], `stride` apart, which may be y itself; a bias [m]; their sum; or nothing.
template <class A>
struct Base {
  const A* rows = nullptr;
  Index stride = 0;
  const A* bias = nullptr;

  static Base of(const Matrix<A>& y) { return {y.data(), y.outerStride()}; }

  Base from(Index i, Index j) const {
    return {rows ? rows + i * stride + j : nullptr, stride, bias ? bias + j : nullptr};
  }

  /// Leaves it in y, for products that add to what they find there.
  void fill(Matrix<A>& y) const {
    using Row = Eigen::Map<Eigen::Array<A, 1, -1>>;
    using ConstRow = Eigen::Map<const Eigen::Array<A, 1, -1>>;
    for (Index i = 0; i < y.rows(); ++i) {
      Row to(&y(i, 0), y.cols());
      const A* const row = rows ? rows + i * stride : nullptr;
      if (row && bias) {
        to = ConstRow(row, to.size()) + ConstRow(bias, to.size());
      } else if (bias || (row && row != to.data())) {
        std::copy_n(bias ? bias : row, to.size(), to.data());
      } else if (!row) {
        to.setZero();
      }
    }
  }
};

namespace detail {

/// Columns of a strip of weights; entries of each column and strips that are turned at once: at most 192 KiB, which
/// stay in the second cache.
template <class A>
inline constexpr Index kStripWidth = 2 * kWidth<A>;
inline constexpr Index kStripDepth = 768;
inline constexpr std::size_t kStrips = 2;

/// Rows whose sums stay in registers.
inline constexpr Index kLinearBlock = kVectorRegisters >= 32 ? 14 : 6;

/// Entries of the depth between one request for memory and the next.
inline constexpr Index kAskStep = 8;

/// Which entries of two rows of a square, of those of the first and then the second, one step makes a row of.
template <Index apart, Index W, bool second>
struct TurnedEntries {
  static constexpr Index at(Index lane) {
    if (second) return (lane & apart) ? W + lane : lane + apart;
    return (lane & apart) ? W + lane - apart : lane;
  }
};

/// Entries of x and y. Written out: nvcc 13 drops the dots of a pack among a builtin's arguments.
template <class From, class V>
inline V shuffled(V x, V y) {
  constexpr Index n = sizeof(V) / sizeof(x[0]);
  static_assert(n == 2 || n == 4 || n == 8 || n == 16);
  if constexpr (n == 2) {
    return __builtin_shufflevector(x, y, From::at(0), From::at(1));
  } else if constexpr (n == 4) {
    return __builtin_shufflevector(x, y, From::at(0), From::at(1), From::at(2), From::at(3));
  } else if constexpr (n == 8) {
    return __builtin_shufflevector(x, y, From::at(0), From::at(1), From::at(2), From::at(3), From::at(4), From::at(5),
                                   From::at(6), From::at(7));
  } else {
    return __builtin_shufflevector(x, y, From::at(0), From::at(1), From::at(2), From::at(3), From::at(4), From::at(5),
                                   From::at(6), From::at(7), From::at(8), From::at(9), From::at(10), From::at(11),
                                   From::at(12), From::at(13), From::at(14), From::at(15));
  }
}

/// Turns a square of W vectors: rows i whose bit `apart` is clear change their entries whose bit is set for those of
/// row i + apart whose bit is clear; then the same with half as much.
template <Index apart, class A>
void turn_square(Packed<A>* rows) {
  constexpr Index W = kWidth<A>;
  LION_UNROLL_BY(16)
  for (Index i = 0; i < W; ++i) {
    if (i & apart) continue;
    const Packed<A> above = rows[i], below = rows[i + apart];
    rows[i] = shuffled<TurnedEntries<apart, W, false>>(above, below);
    rows[i + apart] = shuffled<TurnedEntries<apart, W, true>>(above, below);
  }
  if constexpr (apart > 1) turn_square<apart / 2, A>(rows);
}

/// to [depth, strip] = wᵀ of w [strip, depth], whose rows are `stride` apart: by squares in registers.
template <class A>
void turn(const A* w, Index stride, Index depth, A* to) {
  constexpr Index W = kWidth<A>, width = kStripWidth<A>;
  const Index whole = depth / W * W;
  for (Index j = 0; j < width; j += W) {
    for (Index p = 0; p < whole; p += W) {
      Packed<A> rows[W];
      LION_UNROLL_BY(16)
      for (Index i = 0; i < W; ++i) rows[i] = load(w + (j + i) * stride + p);
      turn_square<W / 2, A>(rows);
      LION_UNROLL_BY(16)
      for (Index i = 0; i < W; ++i) store(to + (p + i) * width + j, rows[i]);
    }
  }
  for (Index p = whole; p < depth; ++p) {
    for (Index j = 0; j < width; ++j) to[p * width + j] = w[j * stride + p];
  }
}

/// The left factor of a product: entry (i, p) is data[i·stride + p] or, if it is turned, data[p·stride + i].
template <bool turned, class A>
struct LinearRows {
  const A* data;
  Index stride;
  LinearRows from(Index i, Index p) const { return {data + (turned ? p * stride + i : i * stride + p), stride}; }
};

/// How far ahead of what is multiplied a strip is asked for, from the second cache into the first.
inline constexpr Index kBytesAhead = 4096;

/// c [rows, strip] = base + a [rows, depth] · b [depth, strip], the sums in registers; asks for `count` lines with
/// every kAskStep of the depth. base and a by reference: copied, they would wait for the stores of the block before.
template <Index rows, bool turned, class A>
inline void block_product(A* c, Index c_stride, const Base<A>& base, const LinearRows<turned, A>& a, const A* b,
                          Index depth, LinesAhead& ahead, Index count) {
  constexpr Index W = kWidth<A>;
  Packed<A> sums[rows][2] = {};
  // Where they will be wanted at the end, which the processor does not see coming.
  LION_UNROLL_BY(16)
  for (Index i = 0; i < rows; ++i) {
    __builtin_prefetch(c + i * c_stride, 1);
    if constexpr (2 * kVectorBytes > kLine) __builtin_prefetch(c + i * c_stride + W, 1);
  }
  if (base.rows && base.rows != c) {
    LION_UNROLL_BY(16)
    for (Index i = 0; i < rows; ++i) {
      __builtin_prefetch(base.rows + i * base.stride);
      if constexpr (2 * kVectorBytes > kLine) __builtin_prefetch(base.rows + i * base.stride + W);
    }
  }
  const Index row = (turned ? 1 : a.stride) * static_cast<Index>(sizeof(A));
  const Index step = turned ? a.stride : 1;
  // Five rows for each pointer: addresses of 0 … 4 strides take two registers, those of 14 rows more than there are,
  // and fetching them again took up to 5 % of the time.
  const char* fives[(rows + 4) / 5];
  LION_UNROLL_BY(4)
  for (Index i = 0; i < rows; i += 5) fives[i / 5] = reinterpret_cast<const char*>(a.from(i, 0).data);
  const auto multiply = [&](Index steps) {
    for (; steps > 0; --steps) {
      const Packed<A> left = load(b), right = load(b + W);
      const char* const soon = reinterpret_cast<const char*>(b) + kBytesAhead;
      __builtin_prefetch(soon);
      if constexpr (2 * kVectorBytes > 64) __builtin_prefetch(soon + kVectorBytes);
      LION_UNROLL_BY(16)
      for (Index i = 0; i < rows; ++i) {
        const A factor = *reinterpret_cast<const A*>(fives[i / 5] + i % 5 * row);
        sums[i][0] += factor * left;
        sums[i][1] += factor * right;
      }
      LION_UNROLL_BY(4)
      for (Index i = 0; i < rows; i += 5) fives[i / 5] += step * static_cast<Index>(sizeof(A));
      b += 2 * W;
    }
  };
  for (Index p = 0; p < depth; p += kAskStep) {
    ahead.ask(count);
    multiply((std::min)(kAskStep, depth - p));
  }
  if (base.bias) {  // not what sums begin as: they would be rounded at its size with every step
    const Packed<A> left = load(base.bias), right = load(base.bias + W);
    LION_UNROLL_BY(16)
    for (Index i = 0; i < rows; ++i) sums[i][0] += left, sums[i][1] += right;
  }
  if (base.rows) {
    LION_UNROLL_BY(16)
    for (Index i = 0; i < rows; ++i) {
      const A* const from = base.rows + i * base.stride;
      sums[i][0] += load(from), sums[i][1] += load(from + W);
    }
  }
  LION_UNROLL_BY(16)
  for (Index i = 0; i < rows; ++i) {
    store(c + i * c_stride, sums[i][0]);
    store(c + i * c_stride + W, sums[i][1]);
  }
}

/// A block of m ≤ `rows` rows with all strips, while it is in the first cache.
template <Index rows, bool turned, class A>
void block_product(A* c, Index c_stride, const Base<A>& base, Index m, const LinearRows<turned, A>& a,
                   std::span<const A* const> strips, Index depth, LinesAhead& ahead, Index count) {
  if constexpr (rows > 1) {
    if (m < rows) return block_product<rows - 1>(c, c_stride, base, m, a, strips, depth, ahead, count);
  }
  for (std::size_t s = 0; s < strips.size(); ++s) {
    const Index j = static_cast<Index>(s) * kStripWidth<A>;
    block_product<rows>(c + j, c_stride, base.from(0, j), a, strips[s], depth, ahead, count);
  }
}

/// The same for any number of rows: in blocks as equal as can be, since short ones take as long as longer ones.
template <bool turned, class A>
void rows_product(A* c, Index c_stride, Base<A> base, Index m, LinearRows<turned, A> a,
                  std::span<const A* const> strips, Index depth, LinesAhead ahead = {}) {
  const Index blocks = (m + kLinearBlock - 1) / kLinearBlock;
  const Index steps = blocks * static_cast<Index>(strips.size()) * ((depth + kAskStep - 1) / kAskStep);
  const Index count = steps > 0 ? (ahead.lines() + steps - 1) / steps : 0;
  for (Index k = 0, i = 0; k < blocks; ++k) {
    const Index n = m / blocks + (k < m % blocks ? 1 : 0);
    block_product<kLinearBlock>(c + i * c_stride, c_stride, base.from(i, 0), n, a.from(i, 0), strips, depth, ahead,
                                count);
    i += n;
  }
}

/// y [n,m] = base + x [n,all] · the strips of weights that `strip(j, p, depth, memory)` gives for outputs j … j +
/// kStripWidth, entries p … p + depth of each: [depth, kStripWidth], anywhere or in `memory`; `ahead(j, p, depth)` says
/// where kStrips of them come from. A last strip that y has not all columns of must be whole. The order of every sum is
/// that of the depth, whatever n is.
template <bool turned, class A, class Strip, class WhereFrom>
void strip_product(Matrix<A>& y, Base<A> base, LinearRows<turned, A> x, Index all, Strip&& strip, WhereFrom&& ahead) {
  constexpr Index width = kStripWidth<A>, together = static_cast<Index>(kStrips) * width;
  alignas(kAlignment) A memory[kStrips * kStripDepth * width];
  const A* strips[kStrips];
  for (Index p = 0; p == 0 || p < all; p += kStripDepth) {  // outermost: so much of x stays in the second cache
    const Index depth = (std::min)(kStripDepth, all - p);
    if (p > 0) base = Base<A>::of(y);
    for (Index j = 0; j < y.cols(); j += together) {
      std::size_t count = 0;
      for (Index at = j; at + width <= y.cols() && count < kStrips; at += width, ++count) {
        strips[count] = strip(at, p, depth, memory + static_cast<Index>(count) * width * depth);
      }
      // What comes next, of another task too: the same entries of other outputs, or else other entries of the first.
      const Index deeper = p + depth < all ? p + depth : 0, then = (std::min)(kStripDepth, all - deeper);
      const LinesAhead next =
          j + together < y.cols() ? ahead(j + together, p, depth) : ahead(deeper > 0 ? 0 : j + together, deeper, then);
      rows_product(y.data() + j, y.outerStride(), base.from(0, j), y.rows(), x.from(0, p), {strips, count}, depth,
                   next);
      const Index last = j + static_cast<Index>(count) * width;
      if (count == kStrips || last == y.cols()) continue;
      // Columns that are not a whole strip: some rows at a time on the side.
      constexpr Index aside = 4 * kLinearBlock;
      alignas(kAlignment) A sums[aside * width];
      Matrix<A> narrow = matrix(y.data() + last, y.rows(), y.cols() - last, y.outerStride());
      base.from(0, last).fill(narrow);
      const A* const part = strip(last, p, depth, memory + static_cast<Index>(count) * width * depth);
      for (Index i = 0; i < y.rows(); i += aside) {
        const Index n = (std::min)(aside, y.rows() - i);
        rows_product(sums, width, Base<A>(), n, x.from(i, p), std::span<const A* const>(&part, 1), depth);
        for (Index r = 0; r < n; ++r) {
          for (Index c = 0; c < narrow.cols(); ++c) narrow(i + r, c) += sums[r * width + c];
        }
      }
    }
  }
}

/// Of `rows` rows of n entries, `stride` apart.
template <class A>
LinesAhead lines_of(const A* first, Index rows, Index n, Index stride) {
  constexpr auto size = static_cast<Index>(sizeof(A));
  return {first, rows, n * size, stride * size};
}

template <class A>
LinearRows<false, A> rows_of(const ConstMatrix<A>& x) {
  return {x.data(), x.outerStride()};
}

/// y += x·b, b [all, m] with rows any distance apart: strips are copied, since rows far apart fall into few sets of the
/// cache. What of y is no whole strip is left out; returns its first column.
template <bool turned, class A>
Index add_copied_strips(Matrix<A>& y, LinearRows<turned, A> x, const ConstMatrix<A>& b) {
  constexpr Index width = kStripWidth<A>;
  const Index whole = y.cols() / width * width;
  Matrix<A> strips = matrix(y.data(), y.rows(), whole, y.outerStride());
  const auto copy = [&](Index j, Index p, Index depth, A* memory) {
    for (Index i = 0; i < depth; ++i) {  // by vectors: a call of memmove for so little takes a twentieth of the time
      const A* const from = b.data() + (p + i) * b.outerStride() + j;
      const Packed<A> left = load(from), right = load(from + kWidth<A>);
      store(memory + i * width, left);
      store(memory + i * width + kWidth<A>, right);
    }
    return memory;
  };
  strip_product(strips, Base<A>::of(strips), x, b.rows(), copy, [&](Index j, Index p, Index depth) {
    const Index n = (std::min)(static_cast<Index>(kStrips) * width, whole - j);
    return n > 0 ? lines_of(b.data() + p * b.outerStride() + j, depth, n, b.outerStride()) : LinesAhead();
  });
  return whole;
}

}  // namespace detail

/// y = base + x·wᵀ: x [N,I], w [O,I], y [N,O], rows any distance apart.
template <class A>
void linear_product(Matrix<A> y, Base<A> base, ConstMatrix<A> x, ConstMatrix<A> w) {
  if constexpr (kBlas) {
    base.fill(y);
    return void(y.noalias() += x * w.transpose());
  }
  constexpr Index width = detail::kStripWidth<A>;
  const Index whole = y.cols() / width * width;
  Matrix<A> strips = matrix(y.data(), y.rows(), whole, y.outerStride());
  const auto turn = [&](Index j, Index p, Index depth, A* memory) {
    detail::turn(w.data() + j * w.outerStride() + p, w.outerStride(), depth, memory);
    return memory;
  };
  detail::strip_product(strips, base, detail::rows_of<A>(x), x.cols(), turn, [&](Index j, Index p, Index depth) {
    const Index n = (std::min)(static_cast<Index>(detail::kStrips) * width, w.rows() - j);
    return n > 0 ? detail::lines_of(w.data() + j * w.outerStride() + p, n, depth, w.outerStride()) : LinesAhead();
  });
  if (whole == y.cols()) return;
  const Index rest = y.cols() - whole;
  Matrix<A> narrow = matrix(y.data() + whole, y.rows(), rest, y.outerStride());
  base.from(0, whole).fill(narrow);
  add_product(narrow, x, matrix(w.data() + whole * w.outerStride(), rest, x.cols(), w.outerStride()).transpose());
}

/// y += x·w: x [N,O], w [O,I], y [N,I], rows any distance apart.
template <class A>
void add_linear_input_product(Matrix<A> y, ConstMatrix<A> x, ConstMatrix<A> w) {
  if constexpr (kBlas) return void(y.noalias() += x * w);
  const Index whole = detail::add_copied_strips(y, detail::rows_of<A>(x), w), rest = y.cols() - whole;
  if (rest == 0) return;
  add_product(matrix(y.data() + whole, y.rows(), rest, y.outerStride()), x,
              matrix(w.data() + whole, w.rows(), rest, w.outerStride()));
}

/// Rows of y for which add_linear_weight_product copies x once: with 128 it takes 2 to 4 % longer.
inline constexpr Index kWeightRows = 192;

/// y += dᵀ·x: d [N,O], x [N,I], y [O,I], rows any distance apart. Both factors are copied, d since its rows, of which a
/// few entries each are wanted at a time, may lie in as many pages: 144 KiB more of stack.
template <class A>
void add_linear_weight_product(Matrix<A> y, ConstMatrix<A> d, ConstMatrix<A> x) {
  if constexpr (kBlas) return void(y.noalias() += d.transpose() * x);
  constexpr Index most = kWeightRows, part = 144 * 1024 / (most * static_cast<Index>(sizeof(A)));
  alignas(kAlignment) A turned[most * part];
  const Index whole = y.cols() / detail::kStripWidth<A> * detail::kStripWidth<A>, rest = y.cols() - whole;
  for (Index i = 0; i < y.rows() && whole > 0; i += most) {
    const Index n = (std::min)(most, y.rows() - i);
    Matrix<A> rows = matrix(y.data() + i * y.outerStride(), n, whole, y.outerStride());
    for (Index p = 0; p < d.rows(); p += part) {
      const Index depth = (std::min)(part, d.rows() - p);
      for (Index t = 0; t < depth; ++t) std::copy_n(d.data() + (p + t) * d.outerStride() + i, n, turned + t * n);
      detail::add_copied_strips(rows, detail::LinearRows<true, A>{turned, n},
                                matrix(x.data() + p * x.outerStride(), depth, whole, x.outerStride()));
    }
  }
  if (rest == 0) return;
  add_product(matrix(y.data() + whole, y.rows(), rest, y.outerStride()), d.transpose(),
              matrix(x.data() + whole, x.rows(), rest, x.outerStride()));
}

}  // namespace lion::cpu
