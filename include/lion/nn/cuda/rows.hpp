#pragma once
/// How layers on the GPU go over token matrices [N,C]: a warp for a row or a thread for some entries, 16 bytes at once
/// where the rows allow it.

#include <type_traits>

#include "lion/core/workspace.hpp"
#include "lion/cuda/tile.hpp"
#include "lion/nn/token_batch.hpp"

namespace lion::cuda {

/// Entries that a thread moves at once; one where rows do not begin or end at multiples of 16 bytes.
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Threads of a block that has a warp for each row.
inline constexpr int kRowThreads = 256;
inline constexpr Index kRowsOfBlock = kRowThreads / 32;

/// A dense matrix of a row for each token.
template <class T>
View<T, 2> take_rows(Arena& arena, const nn::TokenBatch& batch, Index width) {
  return View<T, 2>(arena.take<T>(batch.tokens() * width), {batch.tokens(), width});
}

constexpr Index blocks_of(Index count, Index each) { return (count + each - 1) / each; }

/// Whether every row is of whole packs.
template <class T, std::size_t Rank>
bool whole_packs(const View<T, Rank>& x) {
  constexpr Index kEntries = kPack<std::remove_const_t<T>>;
  bool whole = reinterpret_cast<std::uintptr_t>(x.data()) % 16 == 0 && x.extent(Rank - 1) % kEntries == 0;
  for (std::size_t r = 0; r + 1 < Rank; ++r) whole = whole && x.stride(r) % kEntries == 0;
  return whole;
}

/// f(std::integral_constant<int, n>) with n = kPack<T>, or 1 unless `whole`.
template <class T, class F>
void with_pack(bool whole, F&& f) {
  if (whole) return f(std::integral_constant<int, kPack<T>>());
  f(std::integral_constant<int, 1>());
}

/// n neighbours, as arithmetic takes them; they begin at a multiple of their bytes (of 8 floats beside
/// a pack of 16-bit entries 32).
template <class Dev, int n, class T>
LION_DEVICE void load_pack(const T* from, accumulator_t<T> (&to)[n]) {
  const auto pack = *reinterpret_cast<const Neighbours<T, n>*>(from);
  LION_UNROLL
  for (int i = 0; i < n; ++i) to[i] = Dev::widen(pack.values[i]);
}

template <class Dev, int n, class T>
LION_DEVICE void store_pack(T* to, const accumulator_t<T> (&from)[n]) {
  Neighbours<T, n> pack;
  LION_UNROLL
  for (int i = 0; i < n; ++i) pack.values[i] = Dev::template narrow<T>(from[i]);
  *reinterpret_cast<Neighbours<T, n>*>(to) = pack;
}

/// x [N,C] = 0: a thread for each entry.
template <class T>
struct ClearKernel {
  static constexpr int kThreads = 256;

  struct Parameters {
    View<T, 2> x;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index at = dev.block(0) * kThreads + dev.thread();
    if (at < p.x.size()) p.x(at / p.x.extent(1), at % p.x.extent(1)) = Dev::template narrow<T>(0);
  }
};

template <class T, class Queue>
void clear(const Queue& queue, const View<T, 2>& x) {
  queue.template launch<ClearKernel<T>>("clear", {blocks_of(x.size(), ClearKernel<T>::kThreads), 1, 1}, 0, {x});
}

/// Of the warp: the sum over its lanes, in every lane.
template <class Dev, class A>
LION_DEVICE A sum_of_warp(const Dev& dev, A value) {
  LION_UNROLL
  for (int by = 16; by > 0; by /= 2) value += dev.shuffle_xor(value, by);
  return value;
}

}  // namespace lion::cuda
