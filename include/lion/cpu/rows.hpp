#pragma once
/// Rows of tokens between the caller's tensors and contiguous tiles of arithmetic type.

#include "lion/core/stretch.hpp"
#include "lion/core/workspace.hpp"
#include "lion/cpu/tile_product.hpp"

namespace lion::cpu {

/// Tokens in a tile: a row tile against a column tile is the unit of work. A multiple of every vector width.
inline constexpr Index kTile = 64;

template <class A>
using Vector = Eigen::Map<Eigen::Array<A, Eigen::Dynamic, 1>>;
template <class A>
using ConstVector = Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>>;

/// The rows [L, width] of one head in a caller's tensor.
template <class T>
struct Rows {
  T* data = nullptr;
  Index stride = 0;
  T* operator()(Index token) const { return data + token * stride; }
};

template <class T, std::size_t Rank>
Rows<T> rows_of(const View<T, Rank>& view, Index b, Index h) {
  // A tensor without elements may have no memory either.
  return view.data() ? Rows<T>{view.at(b, h), view.stride(2)} : Rows<T>{};
}

/// to[i] = factor · from[i], converted.
template <class From, class To>
void copy_row(const From* from, Index width, To factor, To* to) {
  if constexpr (std::same_as<From, To>) return scale_row(from, width, factor, to);
  for (Index i = 0; i < width; ++i) to[i] = factor * static_cast<To>(from[i]);
}

/// A row of a tile: factor · from[i], zero in the padding.
template <class From, class To>
void load_row(const From* from, Index width, To factor, To* to) {
  copy_row(from, width, factor, to);
  for (Index i = width; i < padded<To>(width); ++i) to[i] = 0;
}

/// to[i] = from[i], rounded to To.
template <class From, class To>
void store_row(const From* from, Index width, To* to) {
  for (Index i = 0; i < width; ++i) to[i] = static_cast<To>(from[i]);
}

/// Σ a[i]·b[i] in a's type, b converted.
template <class A, class B>
A dot_row(const A* a, const B* b, Index width) {
  constexpr Index W = kWidth<A>;
  Packed<A> total{};
  Index i = 0;
  for (; i + W <= width; i += W) {
    if constexpr (std::same_as<A, B>) {
      total += load(a + i) * load(b + i);
    } else {
      Packed<A> converted;
      for (Index j = 0; j < W; ++j) converted[j] = static_cast<A>(b[i + j]);
      total += load(a + i) * converted;
    }
  }
  A rest = sum<A>(total);
  for (; i < width; ++i) rest += a[i] * static_cast<A>(b[i]);
  return rest;
}

/// A tile of `rows` rows of this width, uninitialised.
template <class A>
Tile<A> take_tile(Arena& arena, Index rows, Index width) {
  return {arena.take<A>(rows * padded<A>(width)), padded<A>(width)};
}

/// to[i] = weight[i] · factor · from[i], row by row, padding and all.
template <class A>
void weigh_rows(Tile<A> from, Index rows, const A* weight, A factor, Tile<A> to) {
  for (Index i = 0; i < rows; ++i) scale_row(from(i), from.stride, factor * weight[i], to(i));
}

template <class A>
void clear_rows(Tile<A> tile, Index rows) {
  std::fill_n(tile.data, rows * tile.stride, A(0));
}

/// A stretch cut into pieces of at most `most` tokens, as equal as can be: the cut depends on the lengths alone.
struct Pieces {
  Stretch whole;
  Index count = 0;
  Index fixed = 0;  ///< size of all but the last, or 0: even

  static Pieces even(Stretch whole, Index most) { return {whole, (whole.size + most - 1) / most, 0}; }
  /// All of `size` tokens, the last one short.
  static Pieces of(Stretch whole, Index size) {
    size = (std::min)(size, (std::max<Index>)(whole.size, 1));
    return {whole, (whole.size + size - 1) / size, size};
  }

  Stretch operator[](Index i) const {
    if (fixed > 0) {
      const Index first = i * fixed;
      return {whole.first + first, (std::min)(fixed, whole.size - first)};
    }
    const Index first = whole.size * i / count;
    return {whole.first + first, whole.size * (i + 1) / count - first};
  }
};

}  // namespace lion::cpu
