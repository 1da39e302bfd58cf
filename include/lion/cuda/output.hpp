#pragma once
/// n' of a tile of rows: its pairs with the tiles of its chunk, and what it sees of the states at the chunk's edges
/// (math.md §1, §3). The full form is one chunk; with a global state there are no pairs.

#include "lion/cuda/finish.hpp"
#include "lion/cuda/tile_block.hpp"

namespace lion::cuda {

/// One block per tile of rows and head, a warp for every 16 rows.
template <class T_, class M, class N, class Dir, int W>
struct OutputKernel {
  using T = T_;
  using Direction = Dir;
  using A = accumulator_t<T>;
  static constexpr int kWidth = W;
  static constexpr bool own_queries = true;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  // Left alone, the compiler saves registers until it spills.
  static constexpr int kBlocks = W == 128 ? 1 : kTensor<T> && N::divides ? 3 : 2;
  static constexpr int kStride = W + kSkew<T>, kRowStride = kValueStride<T, W, N::divides>;
  static constexpr int kStep = !kTensor<T> ? kRows : W == 128 ? 16 : 32;  // keys at a time, for the sake of registers
  static constexpr int kScoreStride = kStep + kSkew<T>;
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
    T* states;     // [2, W, kRowStride], where they come ahead
    T* scores;     // [kRows, kScoreStride], where products do not take them from registers
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : rows(arena),
          columns(arena),
          q(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kRowStride)),
          states(arena.take<T>(kStatesAhead<T, W> ? 2 * W * kRowStride : 0)),
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
struct OutputKernel<T, M, N, Dir, W>::Block : TileBlock<Block<Dev>, OutputKernel, Dev> {
  using Base = TileBlock<Block, OutputKernel, Dev>;
  using Base::arrive, Base::b, Base::dev, Base::g, Base::h, Base::own, Base::own_rows, Base::p, Base::shared,
      Base::strip;

  Sums sums;

  using Base::Base;

  LION_DEVICE void run() {
    h = dev.block(1);
    g = h / p.walk.group;
    shared.rows.derive(dev, p.walk, b, h, own);
    Base::load_whole(
        p.walk.q, own, [&](Index t) { return p.walk.q.row(b, g, t); }, kStride, shared.q);
    sums.clear();
    Base::see();
    finish();
  }

  LION_DEVICE void load(Stretch columns) {
    Base::load_keys(columns, shared.k, kRowStride, shared.v);
    if constexpr (N::divides) {
      const auto last = [&](int j) { return A(p.walk.padded(b, p.walk.token(columns.first + j)) ? 0 : 1); };
      fill_last<W>(dev, columns.size, last, kRowStride, shared.v);
    }
  }

  /// n'_i += Σ_j s M_ij (q_i·k_j) v'_j over the tile in shared memory.
  template <class Mask, class Distance>
  LION_DEVICE void add_pairs(Mask&& mask, Distance&&) {
    for (int step = 0; step < kRows; step += kStep) {
      Strip<A, kStep> scores;
      scores.clear();
      add_product<W>(dev, scores, own_rows(shared.q), transposed(shared.k + step * kStride, kStride));
      scores.for_each(dev.lane(), [&](int i, int j, A& value) { value *= p.walk.scale * mask(strip + i, step + j); });
      add_product(dev, sums, scores, plain(static_cast<const T*>(shared.v + step * kRowStride), kRowStride),
                  shared.scores + strip * kScoreStride);
    }
  }

  /// n'_i += s weight_i q_iᵀ S, with S brought into the values' place, some of its rows at a time.
  template <class Weight, bool past>
  LION_DEVICE void look(const ChunkStates<T>& states, Index slot, Weight&& weight, std::bool_constant<past>) {
    const Index number = states.number(b, h, slot);
    const A scale = p.walk.scale * states.scale(number);
    const A above = scale * weight(Base::row), below = scale * weight(Base::row + 8);
    constexpr int kAtOnce = W < kRows ? W : kRows;
    LION_UNROLL
    for (int first = 0; first < W; first += kAtOnce) {
      const T* state = Base::template state_rows<kAtOnce>(states, number, first, past, shared.v);
      add_weighted_product<kAtOnce>(dev, sums, above, below, own_rows(shared.q + first), plain(state, kRowStride));
    }
  }

  LION_DEVICE void finish() {
    const Finish<T, N>& to = p.finish;
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      const bool present = Base::present(half);
      const Index t = present ? Base::token(half) : 0;
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
    sum = Base::over_quad(sum);
    if (!present || dev.lane() % 4 != 0) return;
    upstream.weights[upstream.at(b, h, t)] = factor;
    upstream.slopes[upstream.at(b, h, t)] = factor == A(0) ? A(0) : -factor * sum;
  }
};

}  // namespace lion::cuda
