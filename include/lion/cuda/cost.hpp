#pragma once
/// What a plan costs on a GPU, and the choice behind form::Auto there.
///
/// A model, not a measurement: on an H200 its choice was within 3 % of the faster of full and chunks of 64 tokens in
/// forward, 7 % in backward (12 heads, 32,768 tokens in sequences of 197 to all; bench/results/NVIDIA-H200.md). It
/// rests on the published figures of an H100 SXM (an H200 differs in its memory alone: 4.8 TB/s) and on what the
/// kernels do: blocks of a warp per 16 rows that go from tile to tile, and wait for each before they multiply it. A
/// kernel takes the longest of
///   its products      tensor cores by mma.sync reach about 0.6 of 989 TFLOP/s; plain multiply-adds, fed from shared
///                     memory, about a quarter of 67 (double 34) TFLOP/s
///   its memory        what it reads and writes once, at 3.35 TB/s
///   its cache         what its blocks read again and again, at about 5.5 TB/s
///   its waves         132 multiprocessors have two blocks each at once; a step of a block waits about 0.7 µs for its
///                     tile, then multiplies alone
/// and 3 µs to start. The CPU's costs (form/cost.hpp) count products only: there nothing waits, and states stay in
/// cache.

#include "lion/form/cost.hpp"

namespace lion::cuda {

/// What the costs of a call depend on; all sequences count as equally long.
struct CostShape {
  mask::DecayKind decay = mask::DecayKind::none;
  bool both_directions = true;
  Index heads = 1;     ///< of all batch entries and sequences together
  Index length = 1;    ///< tokens of a sequence
  Index width = 64;    ///< of the kernels: 32, 64 or 128
  Index tile = 64;     ///< tokens
  Index element = 2;   ///< bytes
  bool tensor = true;  ///< products on tensor cores

  constexpr double tiles() const { return static_cast<double>(length > 0 ? (length + tile - 1) / tile : 1); }
  constexpr double directions() const { return both_directions ? 2 : 1; }
};

namespace detail {

/// A kernel: `blocks` that take `steps` each; the rest is of all of it together.
struct KernelCost {
  double blocks, steps, operations, memory, cache, waits;

  constexpr double nanoseconds(const CostShape& shape) const {
    constexpr double kProcessors = 132, kTogether = 2, kWait = 700, kStart = 3000, kMemory = 3350, kCache = 5500;
    const double rate = shape.tensor ? 6e5 : shape.element <= 4 ? 1.7e4 : 8e3;  // operations per ns
    const auto waves = static_cast<double>(static_cast<Index>((blocks - 1) / (kProcessors * kTogether)) + 1);
    const double alone = operations / blocks / (rate / kProcessors);
    double longest = waves * (steps * waits * kWait + alone);
    for (const double time : {operations / rate, memory / kMemory, cache / kCache}) {
      longest = time > longest ? time : longest;
    }
    return kStart + longest;
  }
};

}  // namespace detail

/// Nanoseconds of a forward call by a plan: the kernel of y, and that of the states unless one chunk is all.
constexpr double cost(const CostShape& shape, const form::Plan& plan) {
  const auto of = [](Index n) { return static_cast<double>(n); };
  const double heads = of(shape.heads), tiles = shape.tiles(), tile = of(shape.tile), width = of(shape.width);
  const double columns = width + 8;  // with the denominators
  const double bytes = of(shape.element), all_tiles = heads * tiles;
  const double rows = tile * (width + columns) * bytes;  // k and v of a tile, or q and y
  const double state = width * columns * bytes, into_state = 2 * tile * width * columns;
  const double pair = 2 * tile * tile * (width + columns);

  const double of_chunk = plan.global ? 0 : of((plan.chunk + shape.tile - 1) / shape.tile);
  const double chunks = plan.global ? 1 : of_chunk < tiles ? (tiles + of_chunk - 1) / of_chunk : 1;
  const bool whole = !plan.global && of_chunk >= tiles;
  const double pairs = of_chunk < tiles ? of_chunk : tiles;
  const double looks = whole ? 0 : plan.global ? 1 : shape.directions();
  const double kept = whole ? 0 : heads * chunks * looks * state;  // bytes of states

  const double output = detail::KernelCost{all_tiles,
                                           pairs + looks,
                                           all_tiles * (pairs * pair + looks * into_state),
                                           all_tiles * (plan.global ? rows : 2 * rows) + kept,
                                           all_tiles * (rows + pairs * rows + looks * state),
                                           1}
                            .nanoseconds(shape);
  if (whole) return output;
  // With decays a tile's weights come before its rows.
  const double waits = shape.decay == mask::DecayKind::none ? 1 : 2;
  return output +
         detail::KernelCost{
             heads * looks, tiles, all_tiles * looks * into_state, all_tiles * rows + kept, all_tiles * looks * rows,
             waits}
             .nanoseconds(shape);
}

/// The plan that costs least, of one chunk, chunks of 1, 2, 4, … tiles, and, without decay in both directions, one
/// global state. Backward has the same kernels several times over, and takes the same plan.
constexpr form::Plan cheapest(const CostShape& shape) {
  const Index whole = shape.length > 0 ? shape.length : 1;
  form::Plan best{whole, false};
  double least = cost(shape, best);
  const auto consider = [&](const form::Plan& plan) {
    const double its = cost(shape, plan);
    if (its >= least) return;
    best = plan;
    least = its;
  };
  if (shape.decay == mask::DecayKind::none && shape.both_directions) {
    consider({whole, true});
    return best;
  }
  for (Index chunk = shape.tile; chunk < whole; chunk *= 2) consider({chunk, false});
  return best;
}

}  // namespace lion::cuda
