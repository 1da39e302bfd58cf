#pragma once
/// dq of a tile of rows (math.md §4): its pairs with the tiles of its chunk, and what it sees of the states of keys at
/// the chunk's edges. The walk of the forward pass, with dn' for q and the roles of k and v' exchanged.

#include "lion/cuda/chunk_states.hpp"
#include "lion/cuda/chunk_tiles.hpp"
#include "lion/cuda/gather.hpp"
#include "lion/cuda/mask_scalars.hpp"
#include "lion/cuda/tile_decay.hpp"
#include "lion/cuda/upstream.hpp"

namespace lion::cuda {

/// One block per tile of rows and head of q, a warp for every 16 rows; it adds up the heads of v that share q.
template <class T, class M, class N, class Dir, int W>
struct QueryGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  static constexpr int kBlocks = W == 128 ? 1 : 2;  // left alone, the compiler saves registers until it spills
  static constexpr int kStride = W + kSkew<T>, kRowStride = kValueStride<T, W, N::divides>;
  static constexpr int kStep = W == 128 && kRows > 32 ? 32 : kRows;  // keys at a time, for the sake of registers
  static constexpr int kScoreStride = kStep + kSkew<T>;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool per_token = M::decay == mask::DecayKind::per_token;
  using Sums = Strip<A, W>;
  using Pairs = Strip<A, kStep>;

  struct Parameters {
    Walk<T, M> walk;
    Upstream<T> upstream;
    ChunkStates<T> past, future;                 ///< F and G; absent: not seen
    Index chunk = 0;                             ///< tokens, a multiple of kRows or at least the longest sequence
    bool global = false;                         ///< F of the first chunk serves every token
    bool open_left = false, open_right = false;  ///< F comes in from before the sequence, G from after it
    Gather<T> dq{};
    MaskScalars<A> scalars{};
  };

  struct Shared {
    TileDecay<T, M::decay> rows, columns;
    T *q, *dy, *k;  // [kRows, kStride] each; q where a decay needs it
    T* v;           // [kRows, kStride], or rows of a state [·, kRowStride]
    T* slopes;      // [kRows, kScoreStride], where products do not take them from registers
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : rows(arena),
          columns(arena),
          q(arena.take<T>(decays ? kRows * kStride : 0)),
          dy(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kRowStride)),
          slopes(arena.take<T>(kTensor<T> ? 0 : kRows * kScoreStride)) {}
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
struct QueryGradientKernel<T, M, N, Dir, W>::Block {
  const Dev& dev;
  const Parameters& p;
  Index b, g, h = 0;
  ChunkTiles<A, kRows> tiles;
  Stretch own;
  SharedArena arena;
  Shared shared;
  int row;                                     // the lane's first of the tile; its second is 8 further
  Sums sums;                                   // of dq, without the rows' weights
  A slope[2] = {};                             // c of the lane's rows
  A seen_past[2] = {}, seen_future[2] = {};    // q·dq of what the states give, in the quad's lanes
  A inner_past[2] = {}, inner_future[2] = {};  // Σ_j w_ij, likewise

  LION_DEVICE Block(const Dev& dev_, const Parameters& p_)
      : dev(dev_),
        p(p_),
        b(dev.block(2)),
        g(dev.block(1)),
        tiles(p.walk.sequences, dev.block(0), p.chunk),
        own(tiles.stretch(tiles.tile)),
        arena(dev.shared()),
        shared(arena),
        row(dev.warp() * kStripRows + Sums::row(dev.lane(), 0)) {}

  LION_DEVICE bool present(int half) const { return row + 8 * half < own.size; }
  LION_DEVICE Index token(int half) const { return p.walk.token(own.first + row + 8 * half); }

  LION_DEVICE void run() {
    const Index group = p.walk.group;
    if (group == 0) sums.clear();  // no head of v: no gradient
    if constexpr (decays) {
      load_rows<W>(
          dev, p.walk.q, own.size, [&](int i) { return p.walk.q.row(b, g, p.walk.token(own.first + i)); },
          [](int) { return A(1); }, kStride, shared.q);
    }
    for (Index i = 0; i < group; ++i) {
      h = g * group + i;
      run_head();
      give(i > 0, i + 1 == group);
    }
    if (group == 0) give(false, true);
  }

  LION_DEVICE void run_head() {
    dev.barrier();  // the head before is done
    shared.rows.derive(dev, p.walk, b, h, own);
    load_rows<W>(
        dev, p.upstream.dy, own.size, [&](int i) { return p.upstream.dy.row(b, h, p.walk.token(own.first + i)); },
        [](int) { return A(1); }, kStride, shared.dy);
    sums.clear();
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      slope[half] = present(half) ? p.upstream.slope(b, h, token(half)) : A(0);
      seen_past[half] = seen_future[half] = inner_past[half] = inner_future[half] = 0;
    }
    if (p.global) {
      arrive();
      look(
          p.past, p.walk.sequences.first_slot(tiles.sequence_number, p.past.size), [](int) { return A(1); }, seen_past);
      return;
    }
    load_keys(own);
    arrive();
    add_pairs(
        [&](int i, int j) {
          if (!Dir::future && j > i) return A(0);
          if (!Dir::past && j < i) return A(0);
          return shared.rows.template pair<Dev>(i, j);
        },
        [](int i, int j) { return i - j; });
    if constexpr (Dir::past) side<true>();
    if constexpr (Dir::future) side<false>();
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
          add_pairs(
              [&](int i, int j) {
                if constexpr (!decays) return A(1);
                return factor * (past ? shared.rows.from_left(i) * shared.columns.to_right(j)
                                      : shared.rows.from_right(i) * shared.columns.to_left(j));
              },
              [](int, int) { return past ? 1 : -1; });
          return shared.columns.total();
        },
        [&](double between) {
          if (!states.data) return;
          const A factor = across(between);
          look(
              states, tiles.chunk_slot(p.walk.sequences, states.size),
              [&](int i) { return factor * (past ? shared.rows.from_left(i) : shared.rows.from_right(i)); },
              past ? seen_past : seen_future);
        });
  }

  LION_DEVICE void load_keys(Stretch columns) {
    const Walk<T, M>& walk = p.walk;
    const auto at = [&](int j) { return walk.token(columns.first + j); };
    load_rows<W>(
        dev, walk.k, columns.size, [&](int j) { return walk.k.row(b, g, at(j)); },
        [&](int j) { return walk.padded(b, at(j)) ? A(0) : walk.gate(b, h, at(j)); }, kStride, shared.k);
    load_rows<W>(
        dev, walk.v, columns.size, [&](int j) { return walk.v.row(b, h, at(j)); },
        [&](int j) { return A(walk.padded(b, at(j)) ? 0 : 1); }, kRowStride, shared.v);
  }

  LION_DEVICE void arrive() {
    dev.template wait<0>();
    dev.barrier();
  }

  LION_DEVICE Operand<T, false> own_rows(const T* tile) const {
    return plain(tile + dev.warp() * kStripRows * kStride, kStride);
  }

  /// dq_i += Σ_j s M_ij (dy_i·v_j + c_i) k_j over the tile in shared memory; distance(i, j) > 0 where j is past.
  template <class Mask, class Distance>
  LION_DEVICE void add_pairs(Mask&& mask, Distance&& distance) {
    const int first = dev.warp() * kStripRows;
    for (int step = 0; step < kRows; step += kStep) {
      const T* k = shared.k + step * kStride;
      Pairs slopes;
      slopes.clear();
      add_product<W>(dev, slopes, own_rows(shared.dy), transposed(shared.v + step * kRowStride, kRowStride));
      slopes.for_each(dev.lane(), [&](int i, int j, A& value) {
        value = p.walk.scale * mask(first + i, step + j) * (value + slope[i >= 8]);
      });
      if constexpr (per_token) {
        Pairs scores;
        scores.clear();
        add_product<W>(dev, scores, own_rows(shared.q), transposed(k, kStride));
        slopes.zip(dev.lane(), scores, [&](int i, int j, A value, A score) {
          const int apart = distance(first + i, step + j);
          if (apart > 0) inner_past[i >= 8] += value * score;
          if (apart < 0) inner_future[i >= 8] += value * score;
        });
      }
      add_product(dev, sums, slopes, plain(k, kStride), shared.slopes + dev.warp() * kStripRows * kScoreStride);
    }
  }

  /// dq_i += s weight_i S [dy_i, c_i], with S brought into the values' place, some of its rows at a time.
  template <class Weight>
  LION_DEVICE void look(const ChunkStates<T>& states, Index slot, Weight&& weight, A (&seen)[2]) {
    const Index number = states.number(b, h, slot);
    const A scale = p.walk.scale * states.scale(number);
    const A weights[2] = {scale * weight(row), scale * weight(row + 8)};
    constexpr int kAtOnce = W < kRows ? W : kRows;
    LION_UNROLL
    for (int first = 0; first < W; first += kAtOnce) {
      dev.barrier();  // what lay there has been used
      states.template load<W, kColumns, kAtOnce, kRowStride>(dev, number, first, shared.v);
      arrive();
      const Operand<T, true> state = transposed(static_cast<const T*>(shared.v), kRowStride);
      Strip<A, kAtOnce> product;
      product.clear();
      add_product<W>(dev, product, own_rows(shared.dy), state);
      if constexpr (N::divides) detail::add_outer(dev, product, slope[0], slope[1], state, W);
      LION_UNROLL
      for (int j = 0; j < kAtOnce / 8; ++j) {
        LION_UNROLL
        for (int part = 0; part < 4; ++part) {
          const A value = weights[part / 2] * product.values[j][part];
          sums.values[first / 8 + j][part] += value;
          if constexpr (decays) {
            const int column = first + Sums::column(dev.lane(), j, part);
            seen[part / 2] += value * Dev::widen(shared.q[(row + part / 2 * 8) * kStride + column]);
          }
        }
      }
    }
  }

  LION_DEVICE A over_quad(A value) const {
    value += dev.shuffle_xor(value, 1);
    return value + dev.shuffle_xor(value, 2);
  }

  LION_DEVICE void give(bool more, bool last) {
    Index to[2];
    A weights[2];
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      to[half] = present(half) ? token(half) : -1;
      weights[half] = present(half) && p.walk.group > 0 ? p.upstream.weight(b, h, to[half]) : A(0);
      if constexpr (decays) {
        const A past = over_quad(seen_past[half]), future = over_quad(seen_future[half]);
        const A inner = over_quad(inner_past[half]), inner_later = over_quad(inner_future[half]);
        if (p.walk.group > 0 && present(half) && dev.lane() % 4 == 0) {
          const MaskScalars<A>& s = p.scalars;
          const Index at = s.at(b, h, to[half]);
          s.query_past[at] = weights[half] * past;
          s.query_future[at] = weights[half] * future;
          if constexpr (per_token) {
            s.inner_past[at] = weights[half] * inner;
            s.inner_future[at] = -weights[half] * inner_later;
          }
        }
      }
    }
    p.dq.take(dev, sums, b, g, to, weights, more || p.dq.adds, last && p.dq.completes);
  }
};

}  // namespace lion::cuda
