#pragma once
/// A tile of tokens among the tiles of its chunk, and the way from it to the chunk's edges (math.md §3). The full form
/// is one chunk.

#include "lion/cuda/head.hpp"
#include "lion/mask/tile_decay.hpp"

namespace lion::cuda {

/// Tile number `slot` of all tiles of `rows` tokens. A is the type of arithmetic.
template <class A, int rows>
struct ChunkTiles {
  Index sequence_number;
  Stretch sequence;
  Index tile, first, last;  ///< of the sequence: this tile, and the chunk's first and last

  LION_DEVICE ChunkTiles(const Sequences& sequences, Index slot, Index chunk)
      : sequence_number(sequences.sequence_of(slot, rows)),
        sequence(sequences.at(sequence_number)),
        tile(slot - sequences.first_slot(sequence_number, rows)) {
    const Index of_chunk = (chunk + rows - 1) / rows;
    first = tile / of_chunk * of_chunk;
    last = (first + of_chunk < tiles() ? first + of_chunk : tiles()) - 1;
  }

  LION_DEVICE Index tiles() const { return (sequence.size + rows - 1) / rows; }

  /// A number without a tile.
  LION_DEVICE bool none() const { return tile >= tiles(); }

  LION_DEVICE Stretch stretch(Index t) const {
    const Index at = t * rows, left = sequence.size - at;
    return {sequence.first + at, left < rows ? left : Index(rows)};
  }

  /// The number of the chunk among all chunks of `size` tokens.
  LION_DEVICE Index chunk_slot(const Sequences& sequences, Index size) const {
    return sequences.first_slot(sequence_number, size) + first * rows / size;
  }

  /// Whether tokens lie beyond the chunk's edge: in the sequence, or past its end if that is open.
  template <bool left>
  LION_DEVICE bool beyond(bool open) const {
    return open || (left ? first > 0 : last < tiles() - 1);
  }

  /// visit(t, between) for the chunk's tiles on one side, nearest first, as far as anything is seen; it returns the log
  /// of the decay across tile t, and `between` is that across the tiles strictly between. Then edge(between), if the
  /// chunk's edge is in sight and tokens lie beyond it.
  template <bool left, class Visit, class Edge>
  LION_DEVICE void side(bool open, Visit&& visit, Edge&& edge) const {
    constexpr double horizon = mask::kHorizon<A>;
    double between = 0;
    for (Index t = left ? tile - 1 : tile + 1; (left ? t >= first : t <= last) && between > horizon; left ? --t : ++t) {
      between += visit(t, between);
    }
    if (between > horizon && beyond<left>(open)) edge(between);
  }
};

}  // namespace lion::cuda
