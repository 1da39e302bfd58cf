#pragma once
/// n' of a tile of rows: its pairs with the tiles of its chunk, and what it sees of the states at the chunk's edges
/// (math.md §1, §3). The full form is one chunk; with a global state there are no pairs.

#include "lion/cuda/chunk_states.hpp"
#include "lion/cuda/chunk_tiles.hpp"
#include "lion/cuda/finish.hpp"
#include "lion/cuda/tile_decay.hpp"

namespace lion::cuda {

/// One block per tile of rows and head, a warp for every 16 rows.
template <class T, class M, class N, class Dir, int W>
struct OutputKernel {
  using A = accumulator_t<T>;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  static constexpr int kBlocks = W == 128 ? 0 : 2;  // left alone, the compiler saves registers until it spills
  static constexpr int kStride = W + kSkew<T>, kRowStride = kValueStride<T, W, N::divides>;
  static constexpr int kScoreStride = kRows + kSkew<T>;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  using Sums = Strip<A, kColumns>;

  struct Parameters {
    Walk<T, M> walk;
    ChunkStates<T> past, future;                 ///< absent: none are seen
    Index chunk = 0;                             ///< tokens, a multiple of kRows or at least the longest sequence
    bool global = false;                         ///< F of the first chunk serves every token
    bool open_left = false, open_right = false;  ///< F comes in from before the sequence, G from after it
    Finish<T, N> finish{};
  };

  struct Shared {
    TileDecay<T, M::decay> rows, columns;
    T *q, *k, *v;  // [kRows, kStride] twice, [kRows, kRowStride]
    T* scores;     // [kRows, kScoreStride], where products do not take them from registers
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : rows(arena),
          columns(arena),
          q(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kRowStride)),
          scores(arena.take<T>(kTensor<T> ? 0 : kRows * kScoreStride)) {}
  };
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    Block<Dev> block(dev, p);
    if (!block.tiles.none()) block.run();
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
  Index b, h;
  ChunkTiles<A, kRows> tiles;
  Stretch own;
  SharedArena arena;
  Shared shared;
  Sums sums;

  LION_DEVICE Block(const Dev& dev_, const Parameters& p_)
      : dev(dev_),
        p(p_),
        b(dev.block(2)),
        h(dev.block(1)),
        tiles(p.walk.sequences, dev.block(0), p.chunk),
        own(tiles.stretch(tiles.tile)),
        arena(dev.shared()),
        shared(arena) {}

  LION_DEVICE void run() {
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
      look(p.past, p.walk.sequences.first_slot(tiles.sequence_number, p.past.size), [](int) { return A(1); });
    }
    finish();
  }

  /// The tiles of the chunk on one side, and the state at its edge.
  template <bool past>
  LION_DEVICE void side() {
    const auto across = [](double log) { return decays ? Dev::exp(static_cast<A>(log)) : A(1); };
    const ChunkStates<T>& states = past ? p.past : p.future;
    tiles.template side<past>(
        past ? p.open_left : p.open_right,
        [&](Index t, double between) {
          const Stretch columns = tiles.stretch(t);
          dev.barrier();  // the tile before has been used
          shared.columns.derive(dev, p.walk, b, h, columns);
          load_keys(columns);
          arrive();
          const A factor = across(between);
          add_pairs([&](int i, int j) {
            if constexpr (!decays) return A(1);
            return factor * (past ? shared.rows.from_left(i) * shared.columns.to_right(j)
                                  : shared.rows.from_right(i) * shared.columns.to_left(j));
          });
          return shared.columns.total();
        },
        [&](double between) {
          if (!states.data) return;
          const A factor = across(between);
          look(states, tiles.chunk_slot(p.walk.sequences, states.size),
               [&](int i) { return factor * (past ? shared.rows.from_left(i) : shared.rows.from_right(i)); });
        });
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
        [&](int j) { return A(seen(j) ? 1 : 0); }, kRowStride, shared.v);
    if constexpr (N::divides) {
      fill_last<W>(
          dev, columns.size, [&](int j) { return A(seen(j) ? 1 : 0); }, kRowStride, shared.v);
    }
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
    add_product(dev, sums, scores, plain(static_cast<const T*>(shared.v), kRowStride),
                shared.scores + dev.warp() * kStripRows * kScoreStride);
  }

  /// n'_i += s weight_i q_iᵀ S, with S brought into the values' place, some of its rows at a time.
  template <class Weight>
  LION_DEVICE void look(const ChunkStates<T>& states, Index slot, Weight&& weight) {
    const Index number = states.number(b, h, slot);
    const A scale = p.walk.scale * states.scale(number);
    const int row = dev.warp() * kStripRows + Sums::row(dev.lane(), 0);
    const A above = scale * weight(row), below = scale * weight(row + 8);
    constexpr int kAtOnce = W < kRows ? W : kRows;
    LION_UNROLL
    for (int first = 0; first < W; first += kAtOnce) {
      dev.barrier();  // what lay there has been used
      states.template load<W, kColumns, kAtOnce, kRowStride>(dev, number, first, shared.v);
      arrive();
      add_weighted_product<kAtOnce>(dev, sums, above, below, plain(own_queries() + first, kStride),
                                    plain(static_cast<const T*>(shared.v), kRowStride));
    }
  }

  LION_DEVICE void finish() {
    const Finish<T, N>& to = p.finish;
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
      if (N::divides && to.upstream.weights) {
        keep_upstream(to.upstream, half, t, present, factor);
        continue;
      }
      if (!present) continue;
      const auto y = [&](int j, int c) { return factor == A(0) ? A(0) : factor * sums.values[j][2 * half + c]; };
      LION_UNROLL
      for (int j = 0; j < W / 8; ++j) {
        store_pair<Dev>(to.y, to.y.row(b, h, t), Sums::column(dev.lane(), j, 0), y(j, 0), y(j, 1));
      }
      if (to.row_sum && dev.lane() % 4 == 0) to.row_sum(b, h, t) = delta;
    }
  }

  /// w and c of a row, y = factor n.
  LION_DEVICE void keep_upstream(const Upstream<T>& upstream, int half, Index t, bool present, A factor) {
    const T* dy = upstream.dy.row(b, h, t);
    A sum = 0;
    LION_UNROLL
    for (int j = 0; j < W / 8; ++j) {
      LION_UNROLL
      for (int c = 0; c < 2; ++c) {
        const int e = Sums::column(dev.lane(), j, c);
        if (present && e < upstream.dy.width) sum += Dev::widen(dy[e]) * sums.values[j][2 * half + c];
      }
    }
    sum += dev.shuffle_xor(sum, 1);
    sum += dev.shuffle_xor(sum, 2);
    if (!present || dev.lane() % 4 != 0) return;
    upstream.weights[upstream.at(b, h, t)] = factor;
    upstream.slopes[upstream.at(b, h, t)] = factor == A(0) ? A(0) : -factor * sum;
  }
};

}  // namespace lion::cuda
