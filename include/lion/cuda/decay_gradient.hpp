#pragma once
/// dℓ from the sums of pairs that the kernels of dq and dk leave behind (math.md §4).
///
/// Of the pairs that a decay t of a chunk [a, b) lies between, each is counted where its ends are, and nothing cancels
/// but pairs inside the chunk. Past (a query after its key, t from the key to before the query):
///
///     dℓ_t = s e^Λ ⟨F_a, R_b⟩ + Σ_{m>t} q_m·dq_m + Σ_{m≤t} k̃_m·dk̃_m + Σ_{m>t} inner_m
///
/// with dq of F, dk̃ of R and Λ the log of the decay across the chunk; future, mirrored:
///
///     dℓ_t = s e^Λ ⟨T_a, G_b⟩ + Σ_{m<t} q_m·dq_m + Σ_{m≥t} k̃_m·dk̃_m + Σ_{m≥t} inner_m
///
/// One decay per head has the sum of these over t.

#include "lion/cuda/chunk_states.hpp"
#include "lion/cuda/mask_scalars.hpp"
#include "lion/cuda/tile_decay.hpp"
#include "lion/cuda/upstream.hpp"

namespace lion::cuda {

namespace detail {
/// The sum over the lanes of a warp, in all of them.
template <class Dev>
LION_DEVICE double over_warp(const Dev& dev, double value) {
  LION_UNROLL
  for (int by = 16; by > 0; by /= 2) value += dev.shuffle_xor(value, by);
  return value;
}
}  // namespace detail

/// A warp for each chunk and head.
template <class T, class M, class N, int W>
struct DecayGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kColumns = kValueColumns<W, N::divides>;
  static constexpr int kThreads = 32;
  static constexpr bool per_head = M::decay == mask::DecayKind::per_head;

  struct Parameters {
    Walk<T, M> walk;
    Upstream<T> upstream;
    ChunkStates<T> keys_left, keys_right;                  ///< F, G
    ChunkStates<T> queries_left, queries_right;            ///< T, R
    Index chunk = 0, slots = 0;                            ///< tokens, and how many chunks are numbered
    bool past_comes_in = false, past_goes_on = false;      ///< keys lie before the sequence, queries after it
    bool future_comes_in = false, future_goes_on = false;  ///< keys lie after it, queries before it
    MaskScalars<A> scalars{};
    typename M::template Gradients<A> gradients{};
    double* of_chunks = nullptr;  ///< [B, H, slots]: with one decay per head, its gradient's share
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index slot = dev.block(0), h = dev.block(1), b = dev.block(2);
    const Index number = p.walk.sequences.sequence_of(slot, p.chunk);
    const Stretch sequence = p.walk.sequences.at(number);
    const Index at = (slot - p.walk.sequences.first_slot(number, p.chunk)) * p.chunk;
    const Index left = sequence.size - at;
    const Stretch chunk{sequence.first + at, left < 0 ? 0 : left < p.chunk ? left : p.chunk};
    const bool earlier = at > 0, later = left > p.chunk;
    const bool past = (earlier || p.past_comes_in) && (later || p.past_goes_on);
    const bool future = (earlier || p.future_goes_on) && (later || p.future_comes_in);
    double across = 0;
    if (chunk.size > 0 && (past || future)) {
      across = states(dev, p, b, h, slot, past, future, log_decay(dev, p, b, h, chunk));
    }
    if constexpr (per_head) {
      const double sum = of_head(dev, p, b, h, chunk, across);
      if (dev.lane() == 0) p.of_chunks[(b * p.scalars.heads + h) * p.slots + slot] = sum;
    } else {
      of_tokens(dev, p, b, h, chunk, across);
    }
  }

 private:
  template <class Dev>
  LION_DEVICE static double log_decay(const Dev& dev, const Parameters& p, Index b, Index h, Stretch chunk) {
    if constexpr (per_head) return static_cast<double>(chunk.size) * mask::bounded(p.walk.log_decay(b, h, 0));
    double sum = 0;
    for (Index i = dev.lane(); i < chunk.size; i += 32) {
      sum += mask::bounded(p.walk.log_decay(b, h, p.walk.token(chunk.first + i)));
    }
    return detail::over_warp(dev, sum);
  }

  /// s e^Λ (⟨F_a, R_b⟩ + ⟨T_a, G_b⟩): of the pairs across the whole chunk.
  template <class Dev>
  LION_DEVICE static double states(const Dev& dev, const Parameters& p, Index b, Index h, Index slot, bool past,
                                   bool future, double log) {
    if (log <= mask::kHorizon<A>) return 0;
    double sum = 0;
    const auto add = [&](bool wanted, const ChunkStates<T>& x, const ChunkStates<T>& y) {
      if (!wanted || !x.data) return;  // or a direction that is not looked in
      const Index number = x.number(b, h, slot);
      const T *from = x.data + number * W * kColumns, *with = y.data + number * W * kColumns;
      double product = 0;
      for (int i = dev.lane(); i < W * kColumns; i += 32) {
        product += static_cast<double>(Dev::widen(from[i])) * static_cast<double>(Dev::widen(with[i]));
      }
      sum += static_cast<double>(x.scale(number)) * static_cast<double>(y.scale(number)) * product;
    };
    add(past, p.keys_left, p.queries_right);
    add(future, p.queries_left, p.keys_right);
    const double factor = static_cast<double>(p.walk.scale) * static_cast<double>(p.upstream.unit(b, h));
    return factor * Dev::exp(log) * detail::over_warp(dev, sum);
  }

  template <class Dev>
  LION_DEVICE static void of_tokens(const Dev& dev, const Parameters& p, Index b, Index h, Stretch chunk,
                                    double across) {
    const MaskScalars<A>& s = p.scalars;
    // Sums over the tokens before are those over all, less those over the tokens from there on.
    double all = 0;
    for (Index i = dev.lane(); i < chunk.size; i += 32) {
      const Index at = s.at(b, h, p.walk.token(chunk.first + i));
      all += static_cast<double>(s.key_past[at]) + static_cast<double>(s.query_future[at]);
    }
    double carried = across + detail::over_warp(dev, all);
    for (Index done = 0; done < chunk.size; done += 32) {  // from the right
      const bool inside = done + dev.lane() < chunk.size;
      const Index t = inside ? p.walk.token(chunk.end() - 1 - done - dev.lane()) : 0, at = s.at(b, h, t);
      double later = 0, own = 0;  // what counts for the tokens before this one, and for this one too
      if (inside) {
        later = static_cast<double>(s.query_past[at]) + static_cast<double>(s.inner_past[at]) -
                static_cast<double>(s.key_past[at]);
        own = static_cast<double>(s.key_future[at]) + static_cast<double>(s.inner_future[at]) -
              static_cast<double>(s.query_future[at]);
      }
      double sum = later + own;
      LION_UNROLL
      for (int by = 1; by < 32; by *= 2) {
        const double other = dev.shuffle_up(sum, by);
        if (dev.lane() >= by) sum += other;
      }
      if (inside) {
        const bool cut = p.walk.log_decay(b, h, t) <= mask::kCut;
        p.gradients.log_decay(b, h, t, cut ? A(0) : static_cast<A>(carried + (sum - later)));
      }
      carried += dev.shuffle(sum, 31);
    }
  }

  template <class Dev>
  LION_DEVICE static double of_head(const Dev& dev, const Parameters& p, Index b, Index h, Stretch chunk,
                                    double across) {
    const MaskScalars<A>& s = p.scalars;
    double sum = 0;
    for (Index i = dev.lane(); i < chunk.size; i += 32) {
      const Index at = s.at(b, h, p.walk.token(chunk.first + i));
      const double before = static_cast<double>(i), after = static_cast<double>(chunk.size - 1 - i);
      sum += before * static_cast<double>(s.query_past[at]) + (after + 1) * static_cast<double>(s.key_past[at]) +
             after * static_cast<double>(s.query_future[at]) + (before + 1) * static_cast<double>(s.key_future[at]) +
             static_cast<double>(s.inner_past[at]);
    }
    return detail::over_warp(dev, sum) + static_cast<double>(chunk.size) * across;
  }
};

/// dℓ of each head from those of its chunks; a warp for each head.
template <class T, class M>
struct HeadDecayGradientKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 32;

  struct Parameters {
    Walk<T, M> walk;
    typename M::template Gradients<A> gradients;
    const double* of_chunks = nullptr;  // [B, H, slots]
    Index batch = 0, heads = 0, slots = 0;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index h = dev.block(0);
    double sum = 0;
    for (Index i = dev.lane(); i < p.batch * p.slots; i += 32) {
      sum += p.of_chunks[(i / p.slots * p.heads + h) * p.slots + i % p.slots];
    }
    sum = detail::over_warp(dev, sum);
    if (dev.lane() != 0) return;
    p.gradients.log_decay(h, p.walk.log_decay(0, h, 0) <= mask::kCut ? A(0) : static_cast<A>(sum));
  }
};

}  // namespace lion::cuda
