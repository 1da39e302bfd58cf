#pragma once
/// Tiles in shared memory, and how rows of tokens get there.

#include "lion/cuda/head.hpp"
#include "lion/cuda/strip.hpp"

namespace lion::cuda {

/// Tokens in a tile: a strip for each warp that works on its rows.
template <class T>
inline constexpr int kTileRows = sizeof(T) == 8 ? 32 : 64;

/// Columns of v' = [v, 1] (math.md §1): the column of ones makes the denominators, seven of zeros fill its eight.
template <int width, bool divides>
inline constexpr int kValueColumns = divides ? width + 8 : width;

/// From row to row of v' in shared memory: the columns of ones skew the rows already where elements have 16 bits.
template <class T, int width, bool divides>
inline constexpr int kValueStride = kValueColumns<width, divides> + (kTensor<T> && divides ? 0 : kSkew<T>);

/// Hands out pieces of a block's shared memory, 16 bytes apart; without memory it only counts.
class SharedArena {
 public:
  SharedArena() = default;
  LION_DEVICE explicit SharedArena(std::byte* data) : data_(data) {}

  template <class X>
  LION_HOST_DEVICE X* take(int n) {
    const int begin = used_;
    used_ += (n * static_cast<int>(sizeof(X)) + 15) / 16 * 16;
    return data_ ? reinterpret_cast<X*>(data_ + begin) : nullptr;
  }
  LION_HOST_DEVICE std::size_t used() const { return static_cast<std::size_t>(used_); }

 private:
  std::byte* data_ = nullptr;
  int used_ = 0;
};

/// Bytes that a kernel's Shared lays out.
template <class Shared>
std::size_t shared_size() {
  SharedArena arena;
  Shared{arena};
  return arena.used();
}

/// What one instruction loads or stores.
template <class T, int n>
struct alignas(n * sizeof(T)) Neighbours {
  T values[n];
};

/// Rows of a stretch that lie `tokens.token` apart from `first` on → to [kTileRows, width + skew], zero beyond the
/// stretch; tokens are aligned and of that width. They have arrived after dev.wait() and a barrier. All that a thread
/// copies lies in one column: addresses cost it two additions.
template <int width, int threads, class Dev, class T>
LION_DEVICE void load_dense(const Dev& dev, const Tokens<const T>& tokens, const T* first, Index size, int stride,
                            T* to) {
  constexpr int kVector = 16 / static_cast<int>(sizeof(T)), kVectors = width / kVector, kApart = threads / kVectors;
  static_assert(threads % kVectors == 0 && kTileRows<T> % kApart == 0);
  const int row = dev.thread() / kVectors, column = dev.thread() % kVectors * kVector;
  const T* from = first + row * tokens.token + column;
  T* at = to + row * stride + column;
  LION_UNROLL
  for (int n = 0; n < kTileRows<T> / kApart; ++n) {
    const bool inside = row + n * kApart < size;
    dev.copy_async(at + n * kApart * stride, inside ? from + n * kApart * tokens.token : tokens.data, inside);
  }
  dev.commit();
}

/// Rows of the tokens of a stretch → to [kTileRows, width + skew], zero beyond the rows' own width, beyond the stretch,
/// and where `factor(i)` is 0, whatever lies there; else times factor(i). They have arrived after dev.wait() and a
/// barrier.
template <int width, class Dev, class T, class RowOf, class Factor>
LION_DEVICE void load_rows(const Dev& dev, const Tokens<const T>& tokens, Index size, RowOf&& row_of, Factor&& factor,
                           int stride, T* to) {
  using A = accumulator_t<T>;
  constexpr int kVector = 16 / static_cast<int>(sizeof(T)), kVectors = width / kVector;
  for (int i = dev.thread(); i < kTileRows<T> * kVectors; i += dev.threads()) {
    const int row = i / kVectors, column = i % kVectors * kVector;
    // Rows without columns may have no memory either.
    const A by = row < size && column < tokens.width ? factor(row) : A(0);
    const T* from = by == A(0) ? tokens.data : row_of(row) + column;
    T* at = to + row * stride + column;
    const bool whole = column + kVector <= tokens.width;
    if (tokens.aligned && (by == A(0) || (by == A(1) && whole))) {
      dev.copy_async(at, from, by != A(0));
    } else if (tokens.aligned && whole) {
      auto vector = *reinterpret_cast<const Neighbours<T, kVector>*>(from);
      LION_UNROLL
      for (T& value : vector.values) value = Dev::template narrow<T>(by * Dev::widen(value));
      *reinterpret_cast<Neighbours<T, kVector>*>(at) = vector;
    } else {
      LION_UNROLL
      for (int e = 0; e < kVector; ++e) {
        at[e] = Dev::template narrow<T>(by != A(0) && column + e < tokens.width ? by * Dev::widen(from[e]) : A(0));
      }
    }
  }
  dev.commit();
}

/// The columns of y' = [y, last] after y: last(row), then zeros.
template <int width, class Dev, class T, class Last>
LION_DEVICE void fill_last(const Dev& dev, Index size, Last&& last, int stride, T* to) {
  using A = accumulator_t<T>;
  for (int i = dev.thread(); i < kTileRows<T> * 8; i += dev.threads()) {
    const int row = i / 8, column = i % 8;
    to[row * stride + width + column] = Dev::template narrow<T>(column == 0 && row < size ? last(row) : A(0));
  }
}

/// Two neighbours of a row, the first at an even column, as far as the row has them.
template <class Dev, class T>
LION_DEVICE void store_pair(const Tokens<T>& to, T* row, int column, accumulator_t<T> first, accumulator_t<T> second) {
  const Neighbours<T, 2> pair{{Dev::template narrow<T>(first), Dev::template narrow<T>(second)}};
  if (to.aligned && column + 1 < to.width) {
    *reinterpret_cast<Neighbours<T, 2>*>(row + column) = pair;
  } else {
    if (column < to.width) row[column] = pair.values[0];
    if (column + 1 < to.width) row[column + 1] = pair.values[1];
  }
}

}  // namespace lion::cuda
