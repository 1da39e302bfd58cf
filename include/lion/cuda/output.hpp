#pragma once
/// n' of a tile of rows: its pairs with the tiles of its chunk, and what it sees of the states at the chunk's edges
/// (math.md §1, §3). The full form is one chunk; with a global state there are no pairs.

#include "lion/cuda/finish.hpp"
#include "lion/cuda/state.hpp"

namespace lion::cuda {

/// One block per tile of rows and head, a warp for every 16 rows.
template <class T, class M, class N, class Dir, int W>
struct OutputKernel {
  using A = accumulator_t<T>;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  static constexpr int kBlocks = W == 128 ? 0 : 2;  // left alone, the compiler saves registers until it spills
  static constexpr int kStride = W + kSkew<T>, kValueStride = kColumns + kSkew<T>;
  static constexpr int kScoreStride = kRows + kSkew<T>;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  using Sums = Strip<A, kColumns>;

  struct Parameters {
    Walk<T, M> walk;
    ChunkStates<T> past, future;  ///< absent: none are seen
    Index chunk = 0;              ///< tokens, a multiple of kRows or at least the longest sequence
    bool global = false;          ///< F of the first chunk serves every token
    Finish<T, N> finish{};
  };

  struct Shared {
    TileDecay<T, M::decay> rows, columns;
    T *q, *k, *v;  // [kRows, kStride] twice, [kRows, kValueStride]
    T* scores;     // [kRows, kScoreStride], where products do not take them from registers
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : rows(arena),
          columns(arena),
          q(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kValueStride)),
          scores(arena.take<T>(kTensor<T> ? 0 : kRows * kScoreStride)) {}
  };
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Sequences& sequences = p.walk.sequences;
    const Index slot = dev.block(0), s = sequences.sequence_of(slot, kRows);
    const Stretch sequence = sequences.at(s);
    const Index tile = slot - sequences.first_slot(s, kRows);
    if (tile * kRows >= sequence.size) return;  // a number without a tile
    OutputKernel::Block<Dev> block(dev, p, s, sequence, tile);
    block.run();
  }

 private:
  template <class Dev>
  struct Block;
};

template <class T, class M, class N, class Dir, int W>
template <class Dev>
struct OutputKernel<T, M, N, Dir, W>::Block {
  const Dev& dev;
  const Parameters& p;
  Index b, h, s;
  Stretch sequence;
  Index tile, first_tile, last_tile;  // of the sequence; the chunk's are [first, last]
  SharedArena arena;
  Shared shared;
  Sums sums;

  LION_DEVICE Block(const Dev& dev_, const Parameters& p_, Index s_, Stretch sequence_, Index tile_)
      : dev(dev_),
        p(p_),
        b(dev.block(2)),
        h(dev.block(1)),
        s(s_),
        sequence(sequence_),
        tile(tile_),
        arena(dev.shared()),
        shared(arena) {
    const Index tiles = (sequence.size + kRows - 1) / kRows;
    const Index of_chunk = (p.chunk + kRows - 1) / kRows;
    first_tile = tile / of_chunk * of_chunk;
    last_tile = (first_tile + of_chunk < tiles ? first_tile + of_chunk : tiles) - 1;
  }

  LION_DEVICE Stretch stretch(Index t) const {
    const Index at = t * kRows, left = sequence.size - at;
    return {sequence.first + at, left < kRows ? left : Index(kRows)};
  }

  LION_DEVICE void run() {
    const Stretch own = stretch(tile);
    shared.rows.derive(dev, p.walk, b, h, own);
    load_rows<W>(
        dev, p.walk.q, own.size, [&](int i) { return p.walk.q.row(b, h / p.walk.group, p.walk.token(own.first + i)); },
        [](int) { return A(1); }, kStride, shared.q);
    sums.clear();
    if (!p.global) {
      load_keys(own);
      arrive();
      add_pairs([&](int i, int j) {
        if (!Dir::future && j > i) return A(0);
        if (!Dir::past && j < i) return A(0);
        return shared.rows.template pair<Dev>(i, j);
      });
      if constexpr (Dir::past) side<true>();
      if constexpr (Dir::future) side<false>();
    } else {
      arrive();
      look(p.past, p.walk.sequences.first_slot(s, p.past.size), [](int) { return A(1); });
    }
    finish();
  }

  /// The tiles of the chunk on one side, nearest first, as far as anything is seen; then the state at its edge.
  template <bool past>
  LION_DEVICE void side() {
    double between = 0;  // log of the decay across the tiles strictly between
    constexpr double horizon = mask::kHorizon<A>;
    for (Index t = past ? tile - 1 : tile + 1; (past ? t >= first_tile : t <= last_tile) && between > horizon;
         past ? --t : ++t) {
      dev.barrier();  // the tile before has been used
      shared.columns.derive(dev, p.walk, b, h, stretch(t));
      load_keys(stretch(t));
      arrive();
      const A factor = decays ? Dev::exp(static_cast<A>(between)) : A(1);
      add_pairs([&](int i, int j) {
        if constexpr (!decays) return A(1);
        return factor * (past ? shared.rows.from_left(i) * shared.columns.to_right(j)
                              : shared.rows.from_right(i) * shared.columns.to_left(j));
      });
      between += shared.columns.total();
    }
    const ChunkStates<T>& states = past ? p.past : p.future;
    if (!states.data || between <= horizon) return;
    const Index tiles = (sequence.size + kRows - 1) / kRows;
    if (past ? first_tile == 0 : last_tile == tiles - 1) return;
    const Index number = p.walk.sequences.first_slot(s, states.size) + first_tile * kRows / states.size;
    const A factor = decays ? Dev::exp(static_cast<A>(between)) : A(1);
    look(states, number, [&](int i) { return factor * (past ? shared.rows.from_left(i) : shared.rows.from_right(i)); });
  }

  LION_DEVICE void load_keys(Stretch columns) {
    const Walk<T, M>& walk = p.walk;
    const auto token = [&](int j) { return walk.token(columns.first + j); };
    const auto seen = [&](int j) { return !walk.padded(b, token(j)); };
    load_rows<W>(
        dev, walk.k, columns.size, [&](int j) { return walk.k.row(b, h / walk.group, token(j)); },
        [&](int j) { return seen(j) ? walk.gate(b, h, token(j)) : A(0); }, kStride, shared.k);
    load_rows<W>(
        dev, walk.v, columns.size, [&](int j) { return walk.v.row(b, h, token(j)); },
        [&](int j) { return A(seen(j) ? 1 : 0); }, kValueStride, shared.v);
    if constexpr (N::divides) fill_ones<W>(dev, columns.size, seen, kValueStride, shared.v);
  }

  LION_DEVICE void arrive() {
    dev.template wait<0>();
    dev.barrier();
  }

  LION_DEVICE const T* own_queries() const { return shared.q + dev.warp() * kStripRows * kStride; }

  /// n'_i += Σ_j s M_ij (q_i·k_j) v'_j over the tile in shared memory.
  template <class Mask>
  LION_DEVICE void add_pairs(Mask&& mask) {
    Strip<A, kRows> scores;
    scores.clear();
    add_product<W>(dev, scores, plain(own_queries(), kStride), transposed(shared.k, kStride));
    scores.for_each(dev.lane(),
                    [&](int row, int j, A& value) { value *= p.walk.scale * mask(dev.warp() * kStripRows + row, j); });
    add_product(dev, sums, scores, plain(static_cast<const T*>(shared.v), kValueStride),
                shared.scores + dev.warp() * kStripRows * kScoreStride);
  }

  /// n'_i += s weight_i q_iᵀ S, with S brought into the values' place, some of its rows at a time.
  template <class Weight>
  LION_DEVICE void look(const ChunkStates<T>& states, Index slot, Weight&& weight) {
    const Index number = states.number(b, h, slot);
    const A scale = kTensor<T> ? p.walk.scale * states.factor[number] : p.walk.scale;
    const int row = dev.warp() * kStripRows + Sums::row(dev.lane(), 0);
    const A above = scale * weight(row), below = scale * weight(row + 8);
    constexpr int kAtOnce = W < kRows ? W : kRows;
    constexpr int kVector = 16 / static_cast<int>(sizeof(T));
    LION_UNROLL
    for (int first = 0; first < W; first += kAtOnce) {
      const T* from = states.data + (number * W + first) * kColumns;
      dev.barrier();  // what lay there has been used
      for (int i = dev.thread(); i < kAtOnce * kColumns / kVector; i += dev.threads()) {
        const int d = i / (kColumns / kVector), e = i % (kColumns / kVector) * kVector;
        dev.copy_async(shared.v + d * kValueStride + e, from + d * kColumns + e, true);
      }
      dev.commit();
      arrive();
      add_weighted_product<kAtOnce>(dev, sums, above, below, plain(own_queries() + first, kStride),
                                    plain(static_cast<const T*>(shared.v), kValueStride));
    }
  }

  LION_DEVICE void finish() {
    const Finish<T, N>& to = p.finish;
    const Stretch own = stretch(tile);
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = dev.warp() * kStripRows + Sums::row(dev.lane(), 2 * half);
      const bool present = row < own.size;
      const Index t = present ? p.walk.token(own.first + row) : 0;
      A* waiting = to.waiting && present ? to.waiting_row(b, h, t) : nullptr;
      const auto for_each = [&](auto&& f) {
        LION_UNROLL
        for (int j = 0; j < Sums::kTiles; ++j) {
          LION_UNROLL
          for (int c = 0; c < 2; ++c) f(Sums::column(dev.lane(), j, c), sums.values[j][2 * half + c]);
        }
      };
      if (present && to.adds) for_each([&](int e, A& value) { value += waiting[e]; });
      if (!to.completes) {
        if (present) for_each([&](int e, A value) { waiting[e] = value; });
        continue;
      }
      A d = 0, delta = 0;
      if constexpr (N::divides) d = dev.shuffle(sums.values[W / 8][2 * half], dev.lane() / 4 * 4);
      const A factor = to.factor(d, delta);
      if (!present) continue;
      for_each([&](int e, A value) {
        if (e < to.y.width) to.y.row(b, h, t)[e] = Dev::template narrow<T>(factor == A(0) ? A(0) : factor * value);
      });
      if (to.row_sum && dev.lane() % 4 == 0) to.row_sum(b, h, t) = delta;
    }
  }
};

}  // namespace lion::cuda
