#pragma once
/// dq of a tile of rows (math.md §4): its pairs with the tiles of its chunk, and what it sees of the states of keys at
/// the chunk's edges. The walk of the forward pass, with dn' for q and the roles of k and v' exchanged.

#include "lion/cuda/gather.hpp"
#include "lion/cuda/mask_scalars.hpp"
#include "lion/cuda/tile_block.hpp"
#include "lion/cuda/upstream.hpp"

namespace lion::cuda {

/// One block per tile of rows and head of q, a warp for every 16 rows; it adds up the heads of v that share q.
template <class T_, class M, class N, class Dir, int W>
struct QueryGradientKernel {
  using T = T_;
  using Direction = Dir;
  using A = accumulator_t<T>;
  static constexpr int kWidth = W;
  static constexpr bool own_queries = true;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  // Left alone, the compiler saves registers until it spills.
  static constexpr int kBlocks = W == 128 ? 1 : kTensor<T> ? (M::decay == mask::DecayKind::per_token ? 2 : 3) : 2;
  static constexpr int kStride = W + kSkew<T>, kRowStride = kValueStride<T, W, N::divides>;
  static constexpr int kStep =
      (W == 128 || kTensor<T>)&&kRows > 32 ? 32 : kRows;  // keys at a time, for the sake of registers
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
    T* states;      // [2, W, kRowStride], where they come ahead
    T* slopes;      // [kRows, kScoreStride], where products do not take them from registers
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : rows(arena),
          columns(arena),
          q(arena.take<T>(decays ? kRows * kStride : 0)),
          dy(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kRowStride)),
          states(arena.take<T>(kStatesAhead<T, W> ? 2 * W * kRowStride : 0)),
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
struct QueryGradientKernel<T, M, N, Dir, W>::Block : TileBlock<Block<Dev>, QueryGradientKernel, Dev> {
  using Base = TileBlock<Block, QueryGradientKernel, Dev>;
  using Base::arrive, Base::b, Base::dev, Base::g, Base::h, Base::over_quad, Base::own, Base::own_rows, Base::p,
      Base::present, Base::row, Base::shared, Base::strip, Base::token;

  Sums sums;                                   // of dq, without the rows' weights
  A slope[2] = {};                             // c of the lane's rows
  A seen_past[2] = {}, seen_future[2] = {};    // q·dq of what the states give, in the quad's lanes
  A inner_past[2] = {}, inner_future[2] = {};  // Σ_j w_ij, likewise

  using Base::Base;

  LION_DEVICE void run() {
    const Index group = p.walk.group;
    g = dev.block(1);
    if constexpr (decays) {
      Base::load_whole(
          p.walk.q, own, [&](Index t) { return p.walk.q.row(b, g, t); }, kStride, shared.q);
    }
    for (Index i = 0; i < group; ++i) {
      h = g * group + i;
      run_head();
      give(i > 0, i + 1 == group);
    }
    if (group > 0) return;
    sums.clear();  // no head of v: no gradient
    give(false, true);
  }

  LION_DEVICE void run_head() {
    dev.barrier();  // the head before is done
    shared.rows.derive(dev, p.walk, b, h, own);
    Base::load_whole(
        p.upstream.dy, own, [&](Index t) { return p.upstream.dy.row(b, h, t); }, kStride, shared.dy);
    sums.clear();
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      slope[half] = present(half) ? p.upstream.slope(b, h, token(half)) : A(0);
      seen_past[half] = seen_future[half] = inner_past[half] = inner_future[half] = 0;
    }
    Base::see();
  }

  LION_DEVICE void load(Stretch columns) { Base::load_keys(columns, shared.k, kRowStride, shared.v); }

  /// dq_i += Σ_j s M_ij (dy_i·v_j + c_i) k_j over the tile in shared memory; distance(i, j) > 0 where j is past.
  template <class Mask, class Distance>
  LION_DEVICE void add_pairs(Mask&& mask, Distance&& distance) {
    for (int step = 0; step < kRows; step += kStep) {
      const T* k = shared.k + step * kStride;
      Pairs slopes;
      slopes.clear();
      add_product<W>(dev, slopes, own_rows(shared.dy), transposed(shared.v + step * kRowStride, kRowStride));
      slopes.for_each(dev.lane(), [&](int i, int j, A& value) {
        value = p.walk.scale * mask(strip + i, step + j) * (value + slope[i >= 8]);
      });
      if constexpr (per_token) {
        Pairs scores;
        scores.clear();
        add_product<W>(dev, scores, own_rows(shared.q), transposed(k, kStride));
        slopes.zip(dev.lane(), scores, [&](int i, int j, A value, A score) {
          const int apart = distance(strip + i, step + j);
          if (apart > 0) inner_past[i >= 8] += value * score;
          if (apart < 0) inner_future[i >= 8] += value * score;
        });
      }
      add_product(dev, sums, slopes, plain(k, kStride), shared.slopes + strip * kScoreStride);
    }
  }

  /// dq_i += s weight_i S [dy_i, c_i], with S brought into the values' place, some of its rows at a time.
  template <class Weight, bool past>
  LION_DEVICE void look(const ChunkStates<T>& states, Index slot, Weight&& weight, std::bool_constant<past>) {
    const Index number = states.number(b, h, slot);
    const A scale = p.walk.scale * states.scale(number);
    const A weights[2] = {scale * weight(row), scale * weight(row + 8)};
    constexpr int kAtOnce = W < kRows ? W : kRows;
    LION_UNROLL
    for (int first = 0; first < W; first += kAtOnce) {
      const Operand<T, true> state =
          transposed(Base::template state_rows<kAtOnce>(states, number, first, past, shared.v), kRowStride);
      Strip<A, kAtOnce> product;
      product.clear();
      add_product<W>(dev, product, own_rows(shared.dy), state);
      if constexpr (N::divides) detail::add_outer(dev, product, slope[0], slope[1], state, W);
      Base::add_looked(sums, product, weights, first, shared.q, past ? seen_past : seen_future);
    }
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
