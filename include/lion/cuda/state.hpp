#pragma once
/// The states at the edges of chunks (math.md §3): how they are kept in scratch between two kernels, and the kernel
/// that makes them.

#include <cmath>

#include "lion/cuda/tile_decay.hpp"

namespace lion::cuda {

/// States [B, H, slots, W, N], W the key width filled up and N the columns of v'. 16-bit tensors keep them as tensor
/// cores take them: rounded, and times a power of two that keeps them in half's range; `factor` undoes it.
template <class T>
struct ChunkStates {
  T* data = nullptr;
  accumulator_t<T>* factor = nullptr;  // [B, H, slots]
  Index heads = 0, slots = 0;
  Index size = 0;  ///< tokens of a chunk

  LION_DEVICE Index number(Index b, Index h, Index slot) const { return (b * heads + h) * slots + slot; }
};

/// States of all chunks of a sequence, one block per sequence, head and direction; or a state of all its tokens.
template <class T, class M, class N, int W>
struct StateKernel {
  using A = accumulator_t<T>;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kThreads = 2 * W;  // a warp for every 16 rows
  static constexpr int kBlocks = 1;       // left alone, the compiler saves registers until it spills
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kStride = W + kSkew<T>, kValueStride = kColumns + kSkew<T>;
  using State = Strip<A, kColumns>;

  struct Parameters {
    Walk<T, M> walk;
    ChunkStates<T> past, future;              ///< F and G at the edges from which chunks see them; absent: not wanted
    bool global = false;                      ///< F of a sequence's first chunk is to be the state of all its tokens
    int first_direction = 0, directions = 2;  ///< 0: left to right, 1: right to left
  };

  struct Shared {
    TileDecay<T, M::decay> decay;
    T *k, *v;  // [kRows, kStride], [kRows, kValueStride]
    A* most;   // [warps]
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : decay(arena),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kValueStride)),
          most(arena.take<A>(kThreads / 32)) {}
  };
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index h = dev.block(1), b = dev.block(2) / p.directions;
    if (p.first_direction + dev.block(2) % p.directions == 0) {
      sweep<true>(dev, p, dev.block(0), b, h, p.past);
    } else {
      sweep<false>(dev, p, dev.block(0), b, h, p.future);
    }
  }

 private:
  template <bool left_to_right, class Dev>
  LION_DEVICE static void sweep(const Dev& dev, const Parameters& p, Index sequence_number, Index b, Index h,
                                const ChunkStates<T>& kept) {
    SharedArena arena(dev.shared());
    const Shared shared(arena);
    const Stretch sequence = p.walk.sequences.at(sequence_number);
    const Index chunks = (sequence.size + kept.size - 1) / kept.size;
    const Index first_slot = p.walk.sequences.first_slot(sequence_number, kept.size);
    State state;
    state.clear();
    for (Index i = 0; i < chunks; ++i) {
      const Index chunk = left_to_right ? i : chunks - 1 - i;
      const Index begin = chunk * kept.size;
      const Index end = begin + kept.size < sequence.size ? begin + kept.size : sequence.size;
      if (!p.global && i > 0) keep(dev, shared, state, kept, b, h, first_slot + chunk);
      if (!p.global && i + 1 == chunks) break;  // nothing sees its tokens through a state
      const Index tiles = (end - begin + kRows - 1) / kRows;
      for (Index j = 0; j < tiles; ++j) {
        const Index at = begin + (left_to_right ? j : tiles - 1 - j) * kRows;
        enter<left_to_right>(dev, p, shared, state, b, h,
                             {sequence.first + at, end - at < kRows ? end - at : Index(kRows)});
      }
    }
    if (p.global && chunks > 0) keep(dev, shared, state, kept, b, h, first_slot);
  }

  /// S = e^Λ S + Σ_i weight_i k_i v'_iᵀ over a tile of tokens.
  template <bool left_to_right, class Dev>
  LION_DEVICE static void enter(const Dev& dev, const Parameters& p, const Shared& shared, State& state, Index b,
                                Index h, Stretch tile) {
    const Walk<T, M>& walk = p.walk;
    auto decay = shared.decay;
    const auto token = [&](int i) { return walk.token(tile.first + i); };
    const auto seen = [&](int i) { return !walk.padded(b, token(i)); };
    dev.barrier();  // the tile before has been used
    decay.derive(dev, walk, b, h, tile);
    load_rows<W>(
        dev, walk.v, tile.size, [&](int i) { return walk.v.row(b, h, token(i)); },
        [&](int i) { return A(seen(i) ? 1 : 0); }, kValueStride, shared.v);
    if constexpr (N::divides) fill_ones<W>(dev, tile.size, seen, kValueStride, shared.v);
    if constexpr (M::decay != mask::DecayKind::none) dev.barrier();
    load_rows<W>(
        dev, walk.k, tile.size, [&](int i) { return walk.k.row(b, h / walk.group, token(i)); },
        [&](int i) {
          if (!seen(i)) return A(0);
          return walk.gate(b, h, token(i)) * (left_to_right ? decay.to_right(i) : decay.to_left(i));
        },
        kStride, shared.k);
    dev.template wait<0>();
    dev.barrier();
    if constexpr (M::decay != mask::DecayKind::none) {
      state.scale(decayed<Dev>(static_cast<A>(decay.total())));
    }
    add_product<kRows>(dev, state, transposed(shared.k + dev.warp() * kStripRows, kStride),
                       plain(shared.v, kValueStride));
  }

  template <class Dev>
  LION_DEVICE static void keep(const Dev& dev, const Shared& shared, State& state, const ChunkStates<T>& kept, Index b,
                               Index h, Index slot) {
    const Index number = kept.number(b, h, slot);
    A power = 1;
    if constexpr (kTensor<T>) {
      A most = 0;
      state.for_each(dev.lane(), [&](int, int, A value) {
        const A size = value < A(0) ? -value : value;
        most = size > most ? size : most;
      });
      LION_UNROLL
      for (int by = 16; by > 0; by /= 2) {
        const A other = dev.shuffle_xor(most, by);
        most = other > most ? other : most;
      }
      dev.barrier();  // the numbers of the state before have been read
      if (dev.lane() == 0) shared.most[dev.warp()] = most;
      dev.barrier();
      for (int w = 0; w < kThreads / 32; ++w) most = shared.most[w] > most ? shared.most[w] : most;
      constexpr int kLargest = 14;  // half ends at 2^16
      constexpr int kMost = 126;    // from here on a power's inverse is no normal float
      if (most > A(0)) {
        const int exponent = kLargest - std::ilogb(most);
        power = std::ldexp(A(1), exponent < kMost ? exponent : kMost);
      }
      if (dev.thread() == 0) kept.factor[number] = A(1) / power;
    }
    T* to = kept.data + number * W * kColumns;
    state.for_each(dev.lane(), [&](int row, int column, A value) {
      to[(dev.warp() * kStripRows + row) * kColumns + column] = Dev::template narrow<T>(power * value);
    });
  }
};

}  // namespace lion::cuda
