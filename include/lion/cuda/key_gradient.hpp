#pragma once
/// dk and dv of a tile of keys (math.md §4): its pairs with the tiles of queries of its chunk, and what it sees of the
/// states of queries and upstream rows at the chunk's edges.

#include "lion/cuda/gather.hpp"
#include "lion/cuda/mask_scalars.hpp"
#include "lion/cuda/tile_block.hpp"
#include "lion/cuda/upstream.hpp"

namespace lion::cuda {

/// One block per tile of keys and head of k; it adds up the heads of v that share k. A warp has 16 keys, and either
/// their dk or their dv: both together are more than the registers. Tiles of pairs are transposed: a row for each key.
template <class T_, class M, class N, class Dir, int W>
struct KeyGradientKernel {
  using T = T_;
  using Direction = Dir;
  using A = accumulator_t<T>;
  static constexpr int kWidth = W;
  static constexpr bool own_queries = false;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 4 * kRows;
  static constexpr int kBlocks = 1;  // left alone, the compiler saves registers until it spills
  static constexpr int kStride = W + kSkew<T>, kRowStride = kValueStride<T, W, N::divides>;
  static constexpr int kStep = W == 128 ? 16 : 32;  // queries at a time, for the sake of registers
  static constexpr int kPairStride = kStep + kSkew<T>;
  static constexpr bool decays = M::decay != mask::DecayKind::none;
  static constexpr bool per_token = M::decay == mask::DecayKind::per_token;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;
  using Sums = Strip<A, W>;
  using Pairs = Strip<A, kStep>;

  struct Parameters {
    Walk<T, M> walk;
    Upstream<T> upstream;
    ChunkStates<T> past,
        future;           ///< R (of queries after the chunk, which see it in their past) and T; absent: not seen
    Index chunk = 0;      ///< tokens, a multiple of kRows or at least the longest sequence
    bool global = false;  ///< R of the first chunk serves every token
    bool open_left = false, open_right = false;  ///< T comes in from before the sequence, R from after it
    Gather<T> dk{}, dv{};
    MaskScalars<A> scalars{};
    typename M::template Gradients<A> gradients{};  ///< of which the gate's is written here
  };

  struct Shared {
    TileDecay<T, M::decay> rows, columns;  // of queries, of keys
    T *k, *v, *q;                          // [kRows, kStride] each
    T* dy;                                 // [kRows, kStride], or rows of a state [·, kRowStride]
    T* states;                             // [2, W, kRowStride], where they come ahead
    A *weight, *slope;                     // [kRows] of the queries, in units of the head
    T* pairs;                              // [2 kRows, kPairStride], where products do not take them from registers
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : rows(arena),
          columns(arena),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kStride)),
          q(arena.take<T>(kRows * kStride)),
          dy(arena.take<T>(kRows * kRowStride)),
          states(arena.take<T>(kStatesAhead<T, W> ? 2 * W * kRowStride : 0)),
          weight(arena.take<A>(kRows)),
          slope(arena.take<A>(kRows)),
          pairs(arena.take<T>(kTensor<T> ? 0 : 2 * kRows * kPairStride)) {}
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
struct KeyGradientKernel<T, M, N, Dir, W>::Block : TileBlock<Block<Dev>, KeyGradientKernel, Dev> {
  using Base = TileBlock<Block, KeyGradientKernel, Dev>;
  using Base::arrive, Base::b, Base::dev, Base::g, Base::h, Base::over_quad, Base::own, Base::own_rows, Base::p,
      Base::present, Base::row, Base::shared, Base::strip, Base::token;

  bool of_values;                              // the warp's sums are dv
  Sums sums;                                   // dk of the gated keys, or dv, in units of the head
  A seen_past[2] = {}, seen_future[2] = {};    // k̃·dk̃ of what the states give, in the quad's lanes
  A inner_past[2] = {}, inner_future[2] = {};  // Σ_i w_ij or Σ_i |i−j| w_ij, likewise

  LION_DEVICE Block(const Dev& dev_, const Parameters& p_)
      : Base(dev_, p_), of_values(dev.warp() >= kRows / kStripRows) {}

  LION_DEVICE void run() {
    const Index group = p.walk.group;
    g = dev.block(1);
    for (Index i = 0; i < group; ++i) {
      h = g * group + i;
      run_head();
      give(i > 0, i + 1 == group);
    }
    if (group > 0 || of_values) return;
    sums.clear();  // no head of v: no gradient
    const Index to[2] = {present(0) ? token(0) : -1, present(1) ? token(1) : -1};
    const A nothing[2] = {};
    p.dk.take(dev, sums, b, g, to, nothing, false, p.dk.completes);
  }

  LION_DEVICE void run_head() {
    dev.barrier();  // the head before is done
    shared.columns.derive(dev, p.walk, b, h, own);
    Base::load_keys(own, shared.k, kStride, shared.v);
    sums.clear();
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      seen_past[half] = seen_future[half] = inner_past[half] = inner_future[half] = 0;
    }
    Base::see();
  }

  LION_DEVICE void load(Stretch queries) {
    const Upstream<T>& upstream = p.upstream;
    Base::load_whole(
        p.walk.q, queries, [&](Index t) { return p.walk.q.row(b, g, t); }, kStride, shared.q);
    Base::load_whole(
        upstream.dy, queries, [&](Index t) { return upstream.dy.row(b, h, t); }, kRowStride, shared.dy);
    const auto at = [&](int i) { return p.walk.token(queries.first + i); };
    for (int i = dev.thread(); i < kRows; i += dev.threads()) {
      const bool inside = i < queries.size;
      shared.weight[i] = inside ? upstream.in_units(b, h, at(i)) : A(0);
      shared.slope[i] = inside ? upstream.slope(b, h, at(i)) : A(0);
    }
  }

  /// dk_j += Σ_i P_ij q_i or dv_j += Σ_i A_ij w_i dy_i over the tile in shared memory; distance(i, j) is that of the
  /// walk, past pairs positive.
  template <class Mask, class Distance>
  LION_DEVICE void add_pairs(Mask&& mask, Distance&& distance) {
    T* staging = shared.pairs + dev.warp() * kStripRows * kPairStride;
    const auto weight = [&](int i, int j) { return p.walk.scale * mask(i, j) * shared.weight[i]; };
    for (int step = 0; step < kRows; step += kStep) {
      const T *q = shared.q + step * kStride, *dy = shared.dy + step * kRowStride;
      Pairs scores;
      if (of_values || decays) {
        scores.clear();
        add_product<W>(dev, scores, own_rows(shared.k), transposed(q, kStride));
      }
      if (of_values) {
        scores.for_each(dev.lane(), [&](int j, int i, A& score) { score *= weight(step + i, strip + j); });
        add_product(dev, sums, scores, plain(dy, kRowStride), staging);
        continue;
      }
      Pairs slopes;
      slopes.clear();
      add_product<W>(dev, slopes, own_rows(shared.v), transposed(dy, kRowStride));
      slopes.for_each(dev.lane(), [&](int j, int i, A& slope) {
        slope = weight(step + i, strip + j) * (slope + shared.slope[step + i]);
      });
      if constexpr (decays) {
        slopes.zip(dev.lane(), scores, [&](int j, int i, A slope, A score) {
          const int apart = distance(step + i, strip + j);
          const A pair = slope * score;
          if (per_head) inner_past[j >= 8] += static_cast<A>(apart < 0 ? -apart : apart) * pair;
          if (per_token && apart > 0) inner_past[j >= 8] += pair;
          if (per_token && apart < 0) inner_future[j >= 8] += pair;
        });
      }
      add_product(dev, sums, slopes, plain(q, kStride), staging);
    }
  }

  /// dk_j += s weight_j S v'_j or dv_j += s weight_j Sᵀ k_j, with S brought into the upstream rows' place, some of its
  /// rows at a time.
  template <class Weight, bool past>
  LION_DEVICE void look(const ChunkStates<T>& states, Index slot, Weight&& weight, std::bool_constant<past>) {
    const Index number = states.number(b, h, slot);
    const A scale = p.walk.scale * states.scale(number);
    const A weights[2] = {scale * weight(row), scale * weight(row + 8)};
    constexpr int kAtOnce = W < kRows ? W : kRows;
    LION_UNROLL
    for (int first = 0; first < W; first += kAtOnce) {
      const T* state = Base::template state_rows<kAtOnce>(states, number, first, past, shared.dy);
      if (of_values) {
        add_weighted_product<kAtOnce>(dev, sums, weights[0], weights[1], own_rows(shared.k + first),
                                      plain(state, kRowStride));
        continue;
      }
      Strip<A, kAtOnce> product;
      product.clear();
      add_product<W>(dev, product, own_rows(shared.v), transposed(state, kRowStride));
      if constexpr (N::divides) detail::add_outer(dev, product, A(1), A(1), transposed(state, kRowStride), W);
      Base::add_looked(sums, product, weights, first, shared.k, past ? seen_past : seen_future);
    }
  }

  LION_DEVICE void give(bool more, bool last) {
    const A unit = p.upstream.unit(b, h);
    Index to[2];
    A factors[2];
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      to[half] = present(half) ? token(half) : -1;
      const bool seen = present(half) && !p.walk.padded(b, to[half]);
      factors[half] = !seen ? A(0) : of_values ? unit : unit * p.walk.gate(b, h, to[half]);
    }
    if (of_values) {
      p.dv.take(dev, sums, b, h, to, factors, p.dv.adds, p.dv.completes);
      return;
    }
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      if constexpr (M::gated) give_gate(half, to[half], to[half] >= 0 && !p.walk.padded(b, to[half]), unit);
      if constexpr (decays) give_scalars(half, to[half], unit);
    }
    p.dk.take(dev, sums, b, g, to, factors, more || p.dk.adds, last && p.dk.completes);
  }

  /// k_j·dk̃_j.
  LION_DEVICE void give_gate(int half, Index t, bool seen, A unit) {
    A sum = 0;
    if (seen) {
      const T* k = p.walk.k.row(b, g, t);
      LION_UNROLL
      for (int j = 0; j < Sums::kTiles; ++j) {
        LION_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int d = Sums::column(dev.lane(), j, c);
          if (d < p.walk.k.width) sum += sums.values[j][2 * half + c] * Dev::widen(k[d]);
        }
      }
    }
    sum = over_quad(sum);
    if (t >= 0 && dev.lane() % 4 == 0) p.gradients.gate(b, h, t, unit * sum);
  }

  LION_DEVICE void give_scalars(int half, Index t, A unit) {
    const A past = over_quad(seen_past[half]), future = over_quad(seen_future[half]);
    const A inner = over_quad(inner_past[half]), inner_later = over_quad(inner_future[half]);
    if (t < 0 || dev.lane() % 4 != 0) return;
    const MaskScalars<A>& s = p.scalars;
    const Index at = s.at(b, h, t);
    s.key_past[at] = unit * past;
    s.key_future[at] = unit * future;
    if constexpr (per_token) {  // on top of the queries' (cuda/query_gradient.hpp)
      s.inner_past[at] -= unit * inner;
      s.inner_future[at] += unit * inner_later;
    } else {
      s.inner_past[at] = unit * inner;
    }
  }
};

}  // namespace lion::cuda
