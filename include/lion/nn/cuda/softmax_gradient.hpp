#pragma once
/// nn::SoftmaxAttention on the GPU, backward: probabilities P are made again tile by tile from the rows' log-sum-exp,
/// and nothing of size L² is in memory (FlashAttention-2, arXiv 2307.08691, algorithm 2). With dS = P ⊙ (dy vᵀ + c) /
/// √D and c = −dy·y of each row, dq = dS k, dk = dSᵀ q, dv = Pᵀ dy.

#include <string>
#include <type_traits>
#include <utility>

#include "lion/cuda/gather.hpp"
#include "lion/cuda/upstream.hpp"
#include "lion/nn/cuda/softmax_attention.hpp"

namespace lion::cuda {

/// What both kernels take.
template <class T>
struct SoftmaxGradient {
  using A = accumulator_t<T>;

  Walk<T, mask::Linear> walk;
  Upstream<T> upstream;
  const A* log_sum = nullptr;  ///< [B,H,L], ∞ of rows that see no key
  Index chunk = 0;             ///< all tokens: a tile sees the others of its sequence
  Gather<T> dq{}, dk{}, dv{};
};

/// dq: one block per tile of queries and head, a warp for every 16 rows, which walks over the tiles of keys.
template <class T_, int W>
struct SoftmaxQueryGradientKernel {
  using T = T_;
  using Direction = direction::Both;
  using A = accumulator_t<T>;
  using Parameters = SoftmaxGradient<T>;
  static constexpr int kWidth = W;
  static constexpr bool own_queries = true, decays = false;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  static constexpr int kBlocks = W == 128 ? 1 : 2;  // left alone, the compiler saves registers until it spills
  static constexpr int kStride = W + kSkew<T>;
  static constexpr int kStep = W == 128 && kRows > 32 ? 32 : kRows;  // keys at a time, for the sake of registers
  static constexpr int kPairStride = kStep + kSkew<T>;
  using Pairs = Strip<A, kStep>;

  struct Shared {
    T *q, *dy, *k, *v;  // [kRows, kStride]
    T* pairs;           // [kRows, kPairStride], where products do not take them from registers
    A* padding;         // [kRows] -∞ for keys that are not seen, else 0
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : q(arena.take<T>(kRows * kStride)),
          dy(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kStride)),
          pairs(arena.take<T>(kTensor<T> ? 0 : kRows * kPairStride)),
          padding(arena.take<A>(kRows)) {}
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

template <class T, int W>
template <class Dev>
struct SoftmaxQueryGradientKernel<T, W>::Block : SoftmaxBlock<Block<Dev>, SoftmaxQueryGradientKernel, Dev> {
  using Base = SoftmaxBlock<Block, SoftmaxQueryGradientKernel, Dev>;
  using Base::b, Base::dev, Base::h, Base::own, Base::own_rows, Base::p, Base::present, Base::shared, Base::strip,
      Base::token;

  Strip<A, W> sums;  // dq
  A log_sum[2];      // of the lane's two rows
  A slope[2];        // c, likewise

  using Base::Base;

  LION_DEVICE void run() {
    Base::load_whole(
        p.walk.q, own, [&](Index t) { return p.walk.q.row(b, h, t); }, kStride, shared.q);
    Base::load_whole(
        p.upstream.dy, own, [&](Index t) { return p.upstream.dy.row(b, h, t); }, kStride, shared.dy);
    sums.clear();
    Index to[2];
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      to[half] = present(half) ? token(half) : -1;
      log_sum[half] = present(half) ? p.log_sum[p.upstream.at(b, h, to[half])] : Base::kInfinity;
      slope[half] = present(half) ? p.upstream.slope(b, h, to[half]) : A(0);
    }
    Base::walk_keys([&] { add_tile(); });
    const A whole[2] = {A(1), A(1)};
    p.dq.take(dev, sums, b, h, to, whole, false, true);
  }

  LION_DEVICE void add_tile() {
    for (int step = 0; step < kRows; step += kStep) {
      const T *k = shared.k + step * kStride, *v = shared.v + step * kStride;
      Pairs scores, slopes;
      scores.clear();
      add_product<W>(dev, scores, own_rows(shared.q), transposed(k, kStride));
      slopes.clear();
      add_product<W>(dev, slopes, own_rows(shared.dy), transposed(v, kStride));
      slopes.zip(dev.lane(), scores, [&](int i, int j, A& value, A score) {
        const A probability = Dev::exp_weight(p.walk.scale * score + shared.padding[step + j] - log_sum[i >= 8]);
        value = p.walk.scale * probability * (value + slope[i >= 8]);
      });
      add_product(dev, sums, slopes, plain(k, kStride), shared.pairs + strip * kPairStride);
    }
  }
};

/// dk and dv: one block per tile of keys and head, which walks over the tiles of queries. A warp has 16 keys, and
/// either their dk or their dv: both together are more than the registers. Tiles of pairs are transposed: a row for
/// each key.
template <class T_, int W>
struct SoftmaxKeyGradientKernel {
  using T = T_;
  using Direction = direction::Both;
  using A = accumulator_t<T>;
  using Parameters = SoftmaxGradient<T>;
  static constexpr int kWidth = W;
  static constexpr bool own_queries = false, decays = false;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 4 * kRows;
  static constexpr int kBlocks = 1;  // left alone, the compiler saves registers until it spills
  static constexpr int kStride = W + kSkew<T>;
  static constexpr int kStep = W == 128 ? 16 : 32;  // queries at a time, for the sake of registers
  static constexpr int kPairStride = kStep + kSkew<T>;
  using Pairs = Strip<A, kStep>;

  struct Shared {
    T *k, *v, *q, *dy;     // [kRows, kStride]
    T* pairs;              // [2 kRows, kPairStride], where products do not take them from registers
    A *log_sums, *slopes;  // [kRows] of the queries
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kStride)),
          q(arena.take<T>(kRows * kStride)),
          dy(arena.take<T>(kRows * kStride)),
          pairs(arena.take<T>(kTensor<T> ? 0 : 2 * kRows * kPairStride)),
          log_sums(arena.take<A>(kRows)),
          slopes(arena.take<A>(kRows)) {}
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

template <class T, int W>
template <class Dev>
struct SoftmaxKeyGradientKernel<T, W>::Block : SoftmaxBlock<Block<Dev>, SoftmaxKeyGradientKernel, Dev> {
  using Base = SoftmaxBlock<Block, SoftmaxKeyGradientKernel, Dev>;
  using Base::b, Base::dev, Base::h, Base::kInfinity, Base::own, Base::own_rows, Base::p, Base::present, Base::row,
      Base::sees, Base::shared, Base::tiles, Base::token;

  bool of_values;    // the warp's sums are dv
  Strip<A, W> sums;  // dk or dv
  A padding[2];      // of the lane's two keys: -∞ for those that are not seen, else 0

  LION_DEVICE Block(const Dev& dev_, const Parameters& p_)
      : Base(dev_, p_), of_values(dev.warp() >= kRows / kStripRows) {}

  LION_DEVICE void run() {
    sums.clear();
    Index to[2];
    A factors[2];
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      const bool here = sees(own, row + 8 * half);
      to[half] = present(half) ? token(half) : -1;
      factors[half] = here ? A(1) : A(0);
      padding[half] = here ? A(0) : -kInfinity;
    }
    if (Base::seen(own)) {
      Base::load_keys(own, shared.k, kStride, shared.v);
      for (Index t = tiles.first; t <= tiles.last; ++t) {
        dev.barrier();  // the tile before has been used
        load(tiles.stretch(t));
        Base::arrive();
        add_tile();
      }
    }
    (of_values ? p.dv : p.dk).take(dev, sums, b, h, to, factors, false, true);
  }

  LION_DEVICE void load(Stretch queries) {
    Base::load_whole(
        p.walk.q, queries, [&](Index t) { return p.walk.q.row(b, h, t); }, kStride, shared.q);
    Base::load_whole(
        p.upstream.dy, queries, [&](Index t) { return p.upstream.dy.row(b, h, t); }, kStride, shared.dy);
    const int i = dev.thread();
    if (i >= kRows) return;
    const bool inside = i < queries.size;
    const Index t = inside ? p.walk.token(queries.first + i) : 0;
    shared.log_sums[i] = inside ? p.log_sum[p.upstream.at(b, h, t)] : kInfinity;
    shared.slopes[i] = inside ? p.upstream.slope(b, h, t) : A(0);
  }

  /// dv_j += Σ_i P_ij dy_i or dk_j += Σ_i dS_ij q_i over the tile in shared memory.
  LION_DEVICE void add_tile() {
    T* staging = shared.pairs + dev.warp() * kStripRows * kPairStride;
    for (int step = 0; step < kRows; step += kStep) {
      const T *q = shared.q + step * kStride, *dy = shared.dy + step * kStride;
      Pairs scores;
      scores.clear();
      add_product<W>(dev, scores, own_rows(shared.k), transposed(q, kStride));
      scores.for_each(dev.lane(), [&](int j, int i, A& score) {
        score = Dev::exp_weight(p.walk.scale * score + padding[j >= 8] - shared.log_sums[step + i]);
      });
      if (of_values) {
        add_product(dev, sums, scores, plain(dy, kStride), staging);
        continue;
      }
      Pairs slopes;
      slopes.clear();
      add_product<W>(dev, slopes, own_rows(shared.v), transposed(dy, kStride));
      slopes.zip(dev.lane(), scores, [&](int, int i, A& value, A probability) {
        value = p.walk.scale * probability * (value + shared.slopes[step + i]);
      });
      add_product(dev, sums, slopes, plain(q, kStride), staging);
    }
  }
};

/// dq, dk [B,H,L,D], dv [B,H,L,E] (overwritten) of softmax_attention, from dy and what forward read and wrote; `slopes`
/// [B,H,L] is scratch. Keys that are padding get 0; rows that see no key give nothing. Starts three kernels, which sum
/// in one order whatever the GPU's; throws ArgumentError, before that, for shapes that do not fit and memory that is
/// not there.
template <class T, class Launcher>
void softmax_attention_backward(const Launcher& launcher, const AttentionInputs<T>& in, const View<const T, 4>& y,
                                const accumulator_t<T>* log_sum, const View<const T, 4>& dy,
                                const AttentionGradients<T>& gradients, accumulator_t<T>* slopes) {
  const Call<T, mask::Linear> call = softmax_call(in);
  const AttentionDims& dims = call.dims;
  const auto check = [](const char* name, const auto& x, const Shape<4>& shape, const char* match) {
    require_shape<4>("softmax_attention", name, x.shape(), shape, match);
    require_contiguous_rows("softmax_attention", name, x);
  };
  check("y", y, in.v.shape(), " to match v");
  check("dy", dy, in.v.shape(), " to match v");
  check("dq", gradients.dq, in.q.shape(), " to match q");
  check("dk", gradients.dk, in.k.shape(), " to match k");
  check("dv", gradients.dv, in.v.shape(), " to match v");
  const bool rows = dims.B * dims.H * dims.L > 0;
  for (const auto& [name, data] :
       {std::pair<const char*, const accumulator_t<T>*>{"log_sum", log_sum}, {"slopes", slopes}}) {
    if (rows && !data) {
      throw ArgumentError(std::string("softmax_attention: ") + name + " is null, expected memory of [B,H,L]");
    }
  }
  Upstream<T> upstream;
  upstream.dy = tokens_of(dy);
  upstream.slopes = slopes;
  upstream.heads = dims.H;
  upstream.length = dims.L;
  using Slopes = UpstreamKernel<T>;
  launcher.template launch<Slopes>("softmax_slopes", {(dims.L + Slopes::kRows - 1) / Slopes::kRows, dims.H, dims.B}, 0,
                                   {upstream, tokens_of(y), {}});
  const SoftmaxGradient<T> parameters{call.walk({}),
                                      upstream,
                                      log_sum,
                                      call.chunk,
                                      {tokens_of(gradients.dq)},
                                      {tokens_of(gradients.dk)},
                                      {tokens_of(gradients.dv)}};
  with_width(dims.D, dims.E, [&](auto width) {
    const auto start = [&]<class Kernel>(std::type_identity<Kernel>, const char* name) {
      launcher.template launch<Kernel>(name, {call.sequences().slots(Kernel::kRows), dims.H, dims.B},
                                       shared_size<typename Kernel::Shared>(), parameters);
    };
    start(std::type_identity<SoftmaxQueryGradientKernel<T, width>>(), "softmax_query_gradient");
    start(std::type_identity<SoftmaxKeyGradientKernel<T, width>>(), "softmax_key_gradient");
  });
}

}  // namespace lion::cuda
