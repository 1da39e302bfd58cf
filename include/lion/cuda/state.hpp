#pragma once
/// The kernel that makes the states at the edges of chunks (math.md §3, §4).

#include <cmath>

#include "lion/cuda/chunk_states.hpp"
#include "lion/cuda/entering.hpp"
#include "lion/segment.hpp"

namespace lion::cuda {

/// What a segment of a longer sequence takes in and hands on (lion/segment.hpp), [B,H,D,E+1] each; absent: nothing, or
/// not wanted. An incoming state and an outgoing one may be the same memory.
template <class A>
struct SegmentEdges {
  View<const A, 4> from_earlier{}, from_later{};
  View<A, 4> to_later{}, to_earlier{};
  View<A, 2> log_decay{};  ///< [B,H] Λ
};

/// States of all chunks of a sequence, one block per sequence, head and direction; or a state of all its tokens.
template <class Enter, class N, int W>
struct StateKernel {
  using T = typename Enter::Scalar;
  using M = typename Enter::Mask;
  using A = accumulator_t<T>;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kThreads = 2 * W;  // a warp for every 16 rows
  // Left alone, the compiler saves registers until it spills.
  static constexpr int kBlocks = kTensor<T> && W <= 64 ? 3 : 1;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kStride = W + kSkew<T>, kRowStride = kValueStride<T, W, N::divides>;
  using State = Strip<A, kColumns>;

  struct Parameters {
    Enter enter;
    ChunkStates<T> from_left{}, from_right{};  ///< at the edges from which chunks see them (F and G, T and R)
    bool global = false;                       ///< from_left of a sequence's first chunk: the state of all its tokens
    int first_direction = 0, directions = 2;   ///< 0: left to right, 1: right to left
    SegmentEdges<A> edges{};
  };

  /// Whether a token enters with another weight than 1.
  static constexpr bool weighted = M::decay != mask::DecayKind::none || Enter::weighted;

  /// A tile of tokens.
  struct Tile {
    TileDecay<T, M::decay> decay;
    T *x, *y;    // [kRows, kStride], [kRows, kRowStride]
    A* weights;  // [kRows]
    LION_HOST_DEVICE explicit Tile(SharedArena& arena)
        : decay(arena),
          x(arena.take<T>(kRows * kStride)),
          y(arena.take<T>(kRows * kRowStride)),
          weights(arena.take<A>(weighted ? kRows : 0)) {}
  };
  /// One tile is multiplied while the next comes, where both fit.
  static constexpr int kTiles = W * sizeof(T) <= 256 ? 2 : 1;

  struct Shared {
    std::byte* tiles;
    A* most;  // [warps]
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : tiles(arena.take<std::byte>(kTiles * tile_bytes())), most(arena.take<A>(kThreads / 32)) {}

    LION_HOST_DEVICE static int tile_bytes() {
      SharedArena counting;
      Tile{counting};
      return static_cast<int>(counting.used());
    }
    /// Where tile n of a walk lies.
    LION_DEVICE Tile tile(int n) const {
      SharedArena arena(tiles + n % kTiles * tile_bytes());
      return Tile(arena);
    }
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index h = dev.block(1), b = dev.block(2) / p.directions;
    if (p.first_direction + dev.block(2) % p.directions == 0) {
      sweep<true>(dev, p, dev.block(0), b, h, p.from_left);
    } else {
      sweep<false>(dev, p, dev.block(0), b, h, p.from_right);
    }
  }

 private:
  template <bool left_to_right, class Dev>
  LION_DEVICE static void sweep(const Dev& dev, const Parameters& p, Index sequence_number, Index b, Index h,
                                const ChunkStates<T>& kept) {
    SharedArena arena(dev.shared());
    const Shared shared(arena);
    const Stretch sequence = p.enter.walk.sequences.at(sequence_number);
    const Index size = kept.size > 0 ? kept.size : 1;  // of no token: no chunk
    const Index chunks = (sequence.size + size - 1) / size;
    const Index first_slot = p.enter.walk.sequences.first_slot(sequence_number, size);
    const SegmentEdges<A>& edges = p.edges;
    const View<const A, 4>& incoming = left_to_right ? edges.from_earlier : edges.from_later;
    const View<A, 4>& outgoing = left_to_right ? edges.to_later : edges.to_earlier;
    const A unit = p.enter.unit(b, h);
    State state;
    state.clear();
    if (incoming) bring(dev, p, state, incoming, b, h, A(1) / unit);
    if (p.global && edges.from_later) bring(dev, p, state, edges.from_later, b, h, A(1) / unit);
    // In 32 bits: they are divided at every tile.
    const auto tiles_of = [](Index tokens) { return static_cast<int>((tokens + kRows - 1) / kRows); };
    const int tiles = tiles_of(sequence.size), of_chunk = tiles_of(size);
    const bool all = p.global || outgoing;  // else nothing sees the last chunk's tokens through a state
    const int last =
        left_to_right ? tiles - static_cast<int>(chunks - 1) * of_chunk : (of_chunk < tiles ? of_chunk : tiles);
    const int entering = all || chunks == 0 ? tiles : tiles - last;
    const auto place = [&](int n) { return left_to_right ? n : tiles - 1 - n; };
    const auto keep_before = [&](int n) {
      const int t = place(n);
      const bool edge = n == 0 || t % of_chunk == (left_to_right ? 0 : of_chunk - 1);
      if (!edge || p.global || !kept.data || (n == 0 && !incoming)) return;
      keep(dev, shared, state, kept, b, h, first_slot + t / of_chunk);
    };
    const auto ask = [&](int n) {
      const Index at = Index(place(n)) * kRows, left = sequence.size - at;
      ask_tile<left_to_right>(dev, p, shared.tile(n), b, h, {sequence.first + at, left < kRows ? left : Index(kRows)});
    };
    double across = 0;
    if (kTiles == 2 && entering > 0) ask(0);
    for (int n = 0; n < entering; ++n) {
      keep_before(n);
      if (kTiles == 1) {
        dev.barrier();  // the tile before has been used
        ask(n);
      }
      dev.template wait<0>();
      dev.barrier();
      if (kTiles == 2 && n + 1 < entering) ask(n + 1);
      across += enter(dev, state, shared.tile(n));
    }
    if (entering < tiles) keep_before(entering);
    if (p.global && chunks > 0) keep(dev, shared, state, kept, b, h, first_slot);
    if (outgoing) {
      for_each_entry(dev, p, state, [&](Index d, Index e, A& value) { outgoing(b, h, d, e) = unit * value; });
      if (left_to_right && edges.log_decay && dev.thread() == 0) edges.log_decay(b, h) = static_cast<A>(across);
    }
  }

  /// f(d, e, value) for the lane's entries of [D, E+1], e = E for the column of the denominators.
  template <class Dev, class F>
  LION_DEVICE static void for_each_entry(const Dev& dev, const Parameters& p, State& state, F&& f) {
    const int D = p.enter.x().width, E = p.enter.y().width;
    state.for_each(dev.lane(), [&](int row, int column, A& value) {
      const int d = dev.warp() * kStripRows + row;
      if (d >= D) return;
      if (column < E) f(d, column, value);
      A nothing = 0;
      if (column == (N::divides ? W : 0)) f(d, E, N::divides ? value : nothing);
    });
  }

  template <class Dev>
  LION_DEVICE static void bring(const Dev& dev, const Parameters& p, State& state, const View<const A, 4>& from,
                                Index b, Index h, A factor) {
    for_each_entry(dev, p, state, [&](Index d, Index e, A& value) { value += factor * from(b, h, d, e); });
  }

  /// Begins to bring a tile of tokens: rows, decays, weights.
  template <bool left_to_right, class Dev>
  LION_DEVICE static void ask_tile(const Dev& dev, const Parameters& p, const Tile& to, Index b, Index h,
                                   Stretch tile) {
    const Enter& from = p.enter;
    const auto token = [&](int i) { return from.walk.token(tile.first + i); };
    if (!from.walk.order && !from.skips() && from.x().dense(W) && from.y().dense(W)) {
      load_dense<W, kThreads>(dev, from.x(), from.x_row(b, h, tile.first), tile.size, kStride, to.x);
      load_dense<W, kThreads>(dev, from.y(), from.y_row(b, h, tile.first), tile.size, kRowStride, to.y);
    } else {
      load_rows<W>(
          dev, from.x(), tile.size, [&](int i) { return from.x_row(b, h, token(i)); },
          [&](int i) { return A(from.x_factor(b, h, token(i)) == A(0) ? 0 : 1); }, kStride, to.x);
      load_rows<W>(
          dev, from.y(), tile.size, [&](int i) { return from.y_row(b, h, token(i)); },
          [&](int i) { return from.y_factor(b, h, token(i)); }, kRowStride, to.y);
    }
    if constexpr (N::divides) {
      fill_last<W>(
          dev, tile.size, [&](int i) { return from.last(b, h, token(i)); }, kRowStride, to.y);
    }
    auto decay = to.decay;
    decay.derive(dev, from.walk, b, h, tile);
    if constexpr (weighted) {
      if (dev.warp() != 0) return;  // that derived them
      dev.warp_barrier();
      for (int i = dev.lane(); i < kRows; i += 32) {
        const A factor = i < tile.size ? from.x_factor(b, h, token(i)) : A(0);
        to.weights[i] = factor == A(0) ? A(0) : factor * Enter::template weight<left_to_right>(decay, i);
      }
    }
  }

  /// S = e^Λ S + Σ_i weight_i x_i y'_iᵀ over a tile of tokens; returns Λ.
  template <class Dev>
  LION_DEVICE static double enter(const Dev& dev, State& state, const Tile& tile) {
    const double log = tile.decay.total();
    if constexpr (M::decay != mask::DecayKind::none) state.scale(decayed<Dev>(static_cast<A>(log)));
    const Operand<T, true> x = transposed(static_cast<const T*>(tile.x) + dev.warp() * kStripRows, kStride);
    const Operand<T, false> y = plain(static_cast<const T*>(tile.y), kRowStride);
    if constexpr (weighted) {
      add_product<kRows>(dev, state, x, y, [&](int i) { return tile.weights[i]; });
    } else {
      add_product<kRows>(dev, state, x, y);
    }
    return log;
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
    LION_UNROLL
    for (int j = 0; j < State::kTiles; ++j) {
      LION_UNROLL
      for (int part = 0; part < 4; part += 2) {
        const int row = dev.warp() * kStripRows + State::row(dev.lane(), part);
        *reinterpret_cast<Neighbours<T, 2>*>(to + row * kColumns + State::column(dev.lane(), j, part)) = {
            {Dev::template narrow<T>(power * state.values[j][part]),
             Dev::template narrow<T>(power * state.values[j][part + 1])}};
      }
    }
  }
};

/// The states of a call, both directions in one launch; a direction without memory is not wanted.
template <class N, int W, class Launcher, class C, class Enter, class T>
void launch_states(const Launcher& launcher, const C& call, const Enter& enter, const ChunkStates<T>& from_left,
                   const ChunkStates<T>& from_right, const SegmentEdges<accumulator_t<T>>& edges) {
  using Kernel = StateKernel<Enter, N, W>;
  typename Kernel::Parameters p{enter, from_left, from_right};
  p.global = call.options.plan.global;
  const bool left = from_left.data || edges.to_later, right = from_right.data || edges.to_earlier;
  p.first_direction = left ? 0 : 1;
  p.directions = left && right ? 2 : 1;
  p.edges = edges;
  launcher.template launch<Kernel>("attention_states",
                                   {call.sequences().count, call.dims.H, call.dims.B * p.directions},
                                   shared_size<typename Kernel::Shared>(), p);
}

/// What a segment hands on.
template <class N, int W, class Launcher, class C, class Enter, class A>
void launch_summary(const Launcher& launcher, const C& call, const Enter& enter, const SegmentSummary<A>& out) {
  using Kernel = StateKernel<Enter, N, W>;
  typename Kernel::Parameters p{enter};
  p.from_left.size = p.from_right.size = call.dims.L;
  p.edges.to_later = out.to_later;
  p.edges.to_earlier = out.to_earlier;
  p.edges.log_decay = out.log_decay;
  launcher.template launch<Kernel>("attention_summary", {1, call.dims.H, call.dims.B * p.directions},
                                   shared_size<typename Kernel::Shared>(), p);
}

}  // namespace lion::cuda
