#pragma once
/// nn::SoftmaxAttention on the GPU, forward: softmax(QKᵀ/√D)·V in one kernel, nothing of size L² in memory.
/// softmax_gradient.hpp has backward.

#include <cmath>
#include <limits>

#include "lion/cuda/call.hpp"
#include "lion/cuda/tile_block.hpp"
#include "lion/mask/linear.hpp"

namespace lion::cuda {

/// A block of softmax's kernels, of one head: which keys are seen, and the walk of a tile of queries over them.
template <class Self, class Kernel, class Dev>
struct SoftmaxBlock : TileBlock<Self, Kernel, Dev> {
  using Base = TileBlock<Self, Kernel, Dev>;
  using Base::b, Base::dev, Base::g, Base::h, Base::p, Base::shared, Base::tiles;
  using typename Base::A;
  static constexpr A kInfinity = std::numeric_limits<A>::infinity();
  static constexpr int kRows = Kernel::kRows;

  LION_DEVICE SoftmaxBlock(const Dev& dev_, const typename Kernel::Parameters& p_) : Base(dev_, p_) {
    h = g = dev.block(1);
  }

  LION_DEVICE bool sees(Stretch keys, int j) const {
    return j < keys.size && !p.walk.padded(b, p.walk.token(keys.first + j));
  }

  /// Whether any of these keys is no padding: the same in all threads. Batches of texts end in tiles of padding.
  LION_DEVICE bool seen(Stretch keys) const {
    if (!p.walk.key_mask) return true;
    int any = 0;
    for (int j = dev.lane(); j < kRows; j += 32) any |= sees(keys, j) ? 1 : 0;
    LION_UNROLL
    for (int by = 16; by > 0; by /= 2) any |= dev.shuffle_xor(any, by);
    return any != 0;
  }

  /// add() for each tile of keys of which any is seen, in shared memory beside `padding`.
  template <class Add>
  LION_DEVICE void walk_keys(Add&& add) const {
    for (Index t = tiles.first; t <= tiles.last; ++t) {
      const Stretch keys = tiles.stretch(t);
      if (!seen(keys)) continue;
      dev.barrier();  // the tile before has been used
      Base::load_keys(keys, shared.k, Kernel::kStride, shared.v);
      const int j = dev.thread();
      if (j < kRows) shared.padding[j] = sees(keys, j) ? A(0) : -kInfinity;
      Base::arrive();
      add();
    }
    dev.template wait<0>();  // for the queries, if no key was seen
  }
};

/// One block per tile of queries and head, a warp for every 16 rows, which keeps their maxima, sums and n over the
/// tiles of keys (FlashAttention-2, arXiv 2307.08691).
template <class T_, int W>
struct SoftmaxKernel {
  using T = T_;
  using Direction = direction::Both;
  using A = accumulator_t<T>;
  static constexpr int kWidth = W;
  static constexpr bool own_queries = true, decays = false;
  static constexpr int kRows = kTileRows<T>;
  static constexpr int kThreads = 2 * kRows;
  static constexpr int kBlocks = W == 128 ? 1 : 2;
  static constexpr int kStride = W + kSkew<T>, kScoreStride = kRows + kSkew<T>;

  struct Parameters {
    Walk<T, mask::Linear> walk;
    Tokens<T> y;
    A* log_sum = nullptr;  ///< [B,H,L], or none
    Index heads = 0, length = 0;
    Index chunk = 0;  ///< all tokens: a tile sees the others of its sequence
  };

  struct Shared {
    T *q, *k, *v;  // [kRows, kStride]
    T* scores;     // [kRows, kScoreStride], where products do not take them from registers
    A* padding;    // [kRows] -∞ for keys that are not seen, else 0
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : q(arena.take<T>(kRows * kStride)),
          k(arena.take<T>(kRows * kStride)),
          v(arena.take<T>(kRows * kStride)),
          scores(arena.take<T>(kTensor<T> ? 0 : kRows * kScoreStride)),
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
struct SoftmaxKernel<T, W>::Block : SoftmaxBlock<Block<Dev>, SoftmaxKernel, Dev> {
  using Base = SoftmaxBlock<Block, SoftmaxKernel, Dev>;
  using Base::b, Base::dev, Base::h, Base::kInfinity, Base::own, Base::own_rows, Base::p, Base::shared, Base::strip;

  Strip<A, W> sums;  // Σ_j e^(s_ij − top_i) v_j
  A top[2];          // of the lane's two rows: the largest score so far
  A total[2];        // Σ_j e^(s_ij − top_i) over the lane's columns alone

  using Base::Base;

  LION_DEVICE void run() {
    Base::load_whole(
        p.walk.q, own, [&](Index t) { return p.walk.q.row(b, h, t); }, kStride, shared.q);
    sums.clear();
    top[0] = top[1] = -kInfinity;
    total[0] = total[1] = A(0);
    Base::walk_keys([&] { add_tile(); });
    finish();
  }

  /// The tile in shared memory: its scores, then their exponentials, times its values.
  LION_DEVICE void add_tile() {
    Strip<A, kRows> scores;
    scores.clear();
    add_product<W>(dev, scores, own_rows(shared.q), transposed(static_cast<const T*>(shared.k), kStride));
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      A now = top[half];
      for_row(scores, half, [&](int j, A& score) {
        score = score * p.walk.scale + shared.padding[j];
        now = (Dev::max)(now, score);
      });
      now = (Dev::max)(now, dev.shuffle_xor(now, 1));  // four lanes share a row
      now = (Dev::max)(now, dev.shuffle_xor(now, 2));
      const A shrink = Dev::exp_weight(top[half] - now);  // now > -∞: every row sees a key of the tile
      total[half] *= shrink;
      for_row(scores, half, [&](int, A& score) {
        score = Dev::exp_weight(score - now);
        total[half] += score;
      });
      for_row(sums, half, [&](int, A& sum) { sum *= shrink; });
      top[half] = now;
    }
    add_product(dev, sums, scores, plain(static_cast<const T*>(shared.v), kStride),
                shared.scores + strip * kScoreStride);
  }

  LION_DEVICE void finish() {
    LION_UNROLL
    for (int half = 0; half < 2; ++half) {
      const A sum = Base::over_quad(total[half]);
      if (!Base::present(half)) continue;
      const A factor = sum == A(0) ? A(0) : A(1) / sum;
      const Index t = Base::token(half);
      if (p.log_sum && dev.lane() % 4 == 0) {  // the largest has e^0
        p.log_sum[(b * p.heads + h) * p.length + t] = sum == A(0) ? kInfinity : top[half] + Dev::log1p(sum - A(1));
      }
      T* y = p.y.row(b, h, t);
      LION_UNROLL
      for (int j = 0; j < W / 8; ++j) {
        store_pair<Dev>(p.y, y, Strip<A, W>::column(dev.lane(), j, 0), factor * sums.values[j][2 * half],
                        factor * sums.values[j][2 * half + 1]);
      }
    }
  }

  /// f(column, value) for the lane's values of its first or second row.
  template <int N, class F>
  LION_DEVICE void for_row(Strip<A, N>& strip_of, int half, F&& f) const {
    LION_UNROLL
    for (int j = 0; j < N / 8; ++j) {
      LION_UNROLL
      for (int c = 0; c < 2; ++c) f(Strip<A, N>::column(dev.lane(), j, c), strip_of.values[j][2 * half + c]);
    }
  }
};

/// What a call of softmax's kernels is of the operator's: one chunk. Throws ArgumentError for shapes that do not fit.
template <class T>
Call<T, mask::Linear> softmax_call(const AttentionInputs<T>& in) {
  const AttentionDims dims = checked_dims(in);
  require_shape<4>("softmax_attention", "v", in.v.shape(), {dims.B, dims.Hk, dims.L, dims.E}, " to match q");
  const double scale = 1 / std::sqrt(static_cast<double>(dims.D));
  return {in, dims, {form::plan(form::Full{}, {}, true, dims.L, dims.D, dims.E), scale}, 1, false};
}

/// y [B,H,L,E] = softmax(q kᵀ/√D) v as nn::SoftmaxAttention has it, every address of memory of the device: as many
/// heads of q and k as of v, widths up to 128, padded and packed as lion::Attention takes them, whatever lies where
/// keys are padding. A row that sees no key is 0. The rows' log-sum-exp goes to log_sum [B,H,L] for backward, unless it
/// is nullptr. Starts one kernel; throws ArgumentError, before that, for shapes that do not fit.
template <class T, class Launcher>
void softmax_attention(const Launcher& launcher, const AttentionInputs<T>& in, const View<T, 4>& y,
                       accumulator_t<T>* log_sum = nullptr) {
  const Call<T, mask::Linear> call = softmax_call(in);
  const AttentionDims& dims = call.dims;
  require_shape<4>("softmax_attention", "y", y.shape(), in.v.shape(), " to match v");
  require_contiguous_rows("softmax_attention", "y", y);
  with_width(dims.D, dims.E, [&](auto width) {
    using Kernel = SoftmaxKernel<T, width>;
    launcher.template launch<Kernel>("softmax_attention", {call.sequences().slots(Kernel::kRows), dims.H, dims.B},
                                     shared_size<typename Kernel::Shared>(),
                                     {call.walk({}), tokens_of(y), log_sum, dims.H, dims.L, call.chunk});
  });
}

}  // namespace lion::cuda
