#pragma once
/// What every call of the operator on the GPU has: its inputs, its plan, and where its chunks are.

#include <algorithm>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "lion/core/workspace.hpp"
#include "lion/cuda/chunk_states.hpp"
#include "lion/door.hpp"
#include "lion/form/cost.hpp"

namespace lion::cuda {

/// Heads of any width up to this are computed as the next of 32, 64 and 128.
inline constexpr Index kWidest = 128;

/// f(std::integral_constant<int, W>) with the narrowest W that holds both widths.
template <class F>
void with_width(Index D, Index E, F&& f) {
  const Index widest = D > E ? D : E;
  if (widest <= 32) return f(std::integral_constant<int, 32>());
  if (widest <= 64) return f(std::integral_constant<int, 64>());
  return f(std::integral_constant<int, 128>());
}

/// Shapes, strides and extents of the inputs of a call.
template <class T>
AttentionDims checked_dims(const AttentionInputs<T>& in) {
  const AttentionDims dims = door::checked_shapes(in);
  for (const auto& [name, width] : {std::pair("q", dims.D), std::pair("v", dims.E)}) {
    if (width > kWidest) {
      door::fail(std::string(name) + " has width " + std::to_string(width) + ", expected at most " +
                 std::to_string(kWidest) + " with backend::Cuda");
    }
  }
  if (in.cu_seqlens.size() == 1 && dims.L > 0) {
    door::fail("cu_seqlens has 1 entry, expected at least 2 for " + std::to_string(dims.L) + " tokens");
  }
  constexpr Index kMostBlocks = 65535;  // in the second and third dimension of a grid
  if (dims.H > kMostBlocks || 2 * dims.B > kMostBlocks) {
    door::fail("v has shape " + to_string(in.v.shape()) + ", expected at most 65535 heads and 32767 batch entries");
  }
  return dims;
}

/// What a call does beside its tensors.
struct CallOptions {
  form::Plan plan;
  double scale = 1;
  double epsilon = 0;
};

template <class T, class M>
struct Call {
  using A = accumulator_t<T>;

  const AttentionInputs<T>& in;
  AttentionDims dims;
  CallOptions options;
  std::size_t orders;
  bool segment;  ///< of a longer sequence: states come in from outside
  Index chunk;   ///< tokens: whole tiles, or all

  Call(const AttentionInputs<T>& in_, const AttentionDims& dims_, const CallOptions& options_, std::size_t orders_,
       bool segment_)
      : in(in_), dims(dims_), options(options_), orders(orders_), segment(segment_) {
    constexpr Index kRows = kTileRows<T>;
    const Index whole = (std::max)(dims.L, Index(1));
    chunk = ((std::min)(options.plan.chunk, whole) + kRows - 1) / kRows * kRows;
    if (options.plan.global) chunk = whole;
  }

  /// Whether tokens see each other through states.
  bool states() const { return dims.L > 0 && (segment || options.plan.global || chunk < dims.L); }

  A share() const { return A(1) / static_cast<A>(orders); }

  Sequences sequences() const {
    const std::span<const Index> cuts = in.cu_seqlens;
    if (cuts.empty()) return {nullptr, 1, dims.L};
    return {cuts.data(), static_cast<Index>(cuts.size()) - 1, dims.L};
  }

  Walk<T, M> walk(const OrderedMask<M, T>& ordered) const {
    Walk<T, M> walk;
    walk.mask = ordered.mask;
    walk.order = ordered.order.empty() ? nullptr : ordered.order.data();
    walk.q = tokens_of(in.q);
    walk.k = tokens_of(in.k);
    walk.v = tokens_of(in.v);
    if (in.key_mask) {
      walk.key_mask = in.key_mask.data();
      walk.key_mask_batch = in.key_mask.stride(0);
      walk.key_mask_token = in.key_mask.stride(1);
    }
    walk.group = dims.Hk > 0 ? dims.H / dims.Hk : 0;
    walk.sequences = sequences();
    walk.scale = static_cast<A>(options.scale);
    return walk;
  }

  /// Room for states of W rows at the chunks' edges.
  ChunkStates<T> take_states(Arena& arena, int W, int columns) const {
    ChunkStates<T> s;
    s.heads = dims.H;
    s.slots = sequences().slots(chunk);
    s.size = chunk;
    s.data = arena.take<T>(dims.B * dims.H * s.slots * W * columns);
    s.factor = arena.take<A>(dims.B * dims.H * s.slots);
    return s;
  }
};

}  // namespace lion::cuda
