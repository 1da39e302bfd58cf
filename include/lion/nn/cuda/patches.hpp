#pragma once
/// Images to tokens on the GPU: the patches unfolded for a product, and prefix tokens and positions put to its result.

#include "lion/nn/cuda/column_sums.hpp"
#include "lion/nn/cuda/trained_weights.hpp"

namespace lion::cuda {

/// Patches as rows of I·P·P entries, as nn::PatchEmbedding::unfold has them; rows of the prefix are zero. A thread for
/// n neighbours of a row.
template <class T, int n>
struct UnfoldKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    View<const T, 4> images;  // [B,I,height,width]
    View<T, 2> out;           // [N,I·P·P]
    Index patch, cols, length, prefix;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index packs = p.out.extent(1) / n, at = dev.block(0) * kThreads + dev.thread();
    const Index t = at / packs, entry = at % packs * n;
    if (t >= p.out.extent(0)) return;
    const Index place = t % p.length - p.prefix;
    A values[n] = {};
    if (place >= 0) {
      const Index j = entry % p.patch, i = entry / p.patch % p.patch, c = entry / (p.patch * p.patch);
      load_pack<Dev>(p.images.at(t / p.length, c, place / p.cols * p.patch + i, place % p.cols * p.patch + j), values);
    }
    store_pack<Dev>(p.out.at(t, entry), values);
  }
};

/// out [N,I·P·P] of images [B,I,height,width], N = B·(prefix + patches).
template <class T, class Queue>
void unfold(const Queue& queue, const View<const T, 4>& images, Index patch, Index prefix, const View<T, 2>& out) {
  const Index cols = images.extent(3) / patch, length = prefix + images.extent(2) / patch * cols;
  const bool whole = images.stride(3) == 1 && patch % kPack<T> == 0 && whole_packs(images) && whole_packs(out);
  with_pack<T>(whole, [&](auto n) {
    using Kernel = UnfoldKernel<T, n>;
    queue.template launch<Kernel>("unfold", {blocks_of(out.size() / n, Kernel::kThreads), 1, 1}, 0,
                                  {images, out, patch, cols, length, prefix});
  });
}

/// x [N,C] where it is of a patch, else the prefix token; and the position. A thread for n neighbours of a row.
template <class T, int n>
struct PlaceKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    View<T, 2> x;        // [N,C], dense
    const A* tokens;     // [prefix,C]
    const A* positions;  // [L,C], or none
    Index length, prefix;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index width = p.x.extent(1), packs = width / n, at = dev.block(0) * kThreads + dev.thread();
    const Index t = at / packs, column = at % packs * n, place = t % p.length;
    if (t >= p.x.extent(0)) return;
    A values[n], position[n] = {};
    if (place < p.prefix) {
      load_pack<Dev>(p.tokens + place * width + column, values);
    } else {
      load_pack<Dev>(p.x.at(t, column), values);
    }
    if (p.positions) load_pack<Dev>(p.positions + place * width + column, position);
    LION_UNROLL
    for (int i = 0; i < n; ++i) values[i] += position[i];
    store_pack<Dev>(p.x.at(t, column), values);
  }
};

/// Prefix tokens [prefix,C] to the first rows of each L, and positions [L,C], unless nullptr, added to all. Both begin
/// at multiples of kAlignment.
template <class T, class Queue>
void place(const Queue& queue, const View<T, 2>& x, const accumulator_t<T>* tokens, const accumulator_t<T>* positions,
           Index length, Index prefix) {
  with_pack<T>(whole_packs(x), [&](auto n) {
    using Kernel = PlaceKernel<T, n>;
    queue.template launch<Kernel>("place", {blocks_of(x.size() / n, Kernel::kThreads), 1, 1}, 0,
                                  {x, tokens, positions, length, prefix});
  });
}

/// Adds to the gradients of tokens and positions what dx [N,C], dense, has of them, and clears its rows of prefix
/// tokens, of which the patches made nothing. `sums` is scratch of place_scratch(samples, L·C) elements.
template <class T, class Queue>
void place_backward(const Queue& queue, const TrainedWeights<T>& weights, const View<T, 2>& dx,
                    const accumulator_t<T>* tokens, const accumulator_t<T>* positions, Index length, Index prefix,
                    accumulator_t<T>* sums) {
  const Index samples = dx.extent(0) / length, row = length * dx.extent(1), special = prefix * dx.extent(1);
  if (positions) {
    add_column_sums(queue, ColumnsOf<T>{{dx.data(), {samples, row}}}, samples, row, {weights.gradient(positions)},
                    sums);
  }
  const View<T, 2> of_tokens(dx.data(), {samples, special}, {row, 1});
  add_column_sums(queue, ColumnsOf<T>{of_tokens}, samples, special, {weights.gradient(tokens)}, sums);
  clear(queue, of_tokens);
}
constexpr Index place_scratch(Index samples, Index row) { return column_sums_scratch(samples, row); }

}  // namespace lion::cuda
