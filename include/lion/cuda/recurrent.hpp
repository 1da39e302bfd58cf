#pragma once
/// The recurrent form (math.md §2): a sweep over the tokens of a sequence with the state in registers.

#include "lion/cuda/finish.hpp"
#include "lion/cuda/tile_decay.hpp"

namespace lion::cuda {

/// One block per sequence and head. A thread has a slice of one column of the state; the threads of a column are
/// neighbours.
template <class T, class M, class N, bool left_to_right, bool own, int W>
struct RecurrentKernel {
  using A = accumulator_t<T>;
  static constexpr int kSlice = W < 256 / static_cast<int>(sizeof(A)) ? W : 256 / static_cast<int>(sizeof(A));
  static constexpr int kParts = W / kSlice;
  static constexpr int kColumns = N::divides ? W + 1 : W;
  static constexpr int kThreads = (kColumns * kParts + 31) / 32 * 32;
  static constexpr int kBlocks = 1;  // left alone, the compiler saves registers until it spills
  static constexpr int kStep = 16;   // tokens in shared memory

  struct Parameters {
    Walk<T, M> walk;
    Finish<T, N> finish{};
    View<const A, 4> incoming{};  ///< [B,H,D,E+1] the state at the start of the sweep, if not zero
    View<A, 4> outgoing{};        ///< [B,H,D,E+1] and at its end, if wanted; may be the same memory
  };

  struct Shared {
    A *q, *k;    // [kStep, W]
    A *v, *out;  // [kStep, kColumns]
    A* decay;    // [kStep] λ
    LION_HOST_DEVICE explicit Shared(SharedArena& arena)
        : q(arena.take<A>(kStep * W)),
          k(arena.take<A>(kStep * W)),
          v(arena.take<A>(kStep * kColumns)),
          out(arena.take<A>(kStep * kColumns)),
          decay(arena.take<A>(kStep)) {}
  };
  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    SharedArena arena(dev.shared());
    const Shared shared(arena);
    const Index h = dev.block(1), b = dev.block(2);
    const Stretch sequence = p.walk.sequences.at(dev.block(0));
    const int column = dev.thread() / kParts, part = dev.thread() % kParts;
    A state[kSlice] = {};
    const int e = N::divides && column == W ? p.walk.v.width : column;  // the state's own column, if it has one
    const bool inside = column < kColumns && (e < p.walk.v.width || column == W);
    if (p.incoming && inside) {
      LION_UNROLL
      for (int d = 0; d < kSlice; ++d) {
        if (part * kSlice + d < p.walk.k.width) state[d] = p.incoming(b, h, part * kSlice + d, e);
      }
    }
    A fade = 1;  // of the token before, in the order of the sweep
    for (Index done = 0; done < sequence.size; done += kStep) {
      const int n = static_cast<int>(sequence.size - done < kStep ? sequence.size - done : Index(kStep));
      // Places of the step in the order of the sweep.
      const auto token = [&](int i) {
        return p.walk.token(left_to_right ? sequence.first + done + i : sequence.end() - 1 - done - i);
      };
      load(dev, p, shared, b, h, n, token);
      dev.barrier();
      for (int i = 0; i < n; ++i) {
        const A by = fade, value = column < kColumns ? shared.v[i * kColumns + column] : A(0);
        const A *q = shared.q + i * W + part * kSlice, *k = shared.k + i * W + part * kSlice;
        A sum = 0;
        LION_UNROLL
        for (int d = 0; d < kSlice; ++d) {
          const A faded = by * state[d];
          state[d] = faded + k[d] * value;
          sum += q[d] * (own ? state[d] : faded);
        }
        LION_UNROLL
        for (int other = 1; other < kParts; other *= 2) sum += dev.shuffle_xor(sum, other);
        fade = shared.decay[i];
        if (part == 0 && column < kColumns) shared.out[i * kColumns + column] = p.walk.scale * sum;
      }
      dev.barrier();
      finish(dev, p, shared, b, h, n, token);
      dev.barrier();
    }
    if (!p.outgoing) return;
    LION_UNROLL
    for (int d = 0; d < kSlice; ++d) {
      const int row = part * kSlice + d;
      if (row >= p.walk.k.width) continue;
      if (inside) p.outgoing(b, h, row, e) = fade * state[d];
      if (!N::divides && column == 0) p.outgoing(b, h, row, p.walk.v.width) = A(0);
    }
  }

 private:
  template <class Dev, class Token>
  LION_DEVICE static void load(const Dev& dev, const Parameters& p, const Shared& shared, Index b, Index h, int n,
                               Token&& token) {
    const Walk<T, M>& walk = p.walk;
    for (int i = dev.thread(); i < n * W; i += dev.threads()) {
      const int row = i / W, d = i % W;
      const Index t = token(row);
      const A gate = walk.padded(b, t) ? A(0) : walk.gate(b, h, t);
      const bool inside = d < walk.q.width;
      shared.q[i] = inside ? Dev::widen(walk.q.row(b, h / walk.group, t)[d]) : A(0);
      shared.k[i] = inside && gate != A(0) ? gate * Dev::widen(walk.k.row(b, h / walk.group, t)[d]) : A(0);
    }
    for (int i = dev.thread(); i < n * kColumns; i += dev.threads()) {
      const int row = i / kColumns, e = i % kColumns;
      const Index t = token(row);
      const bool seen = !walk.padded(b, t);
      shared.v[i] = !seen ? A(0) : e == W ? A(1) : e < walk.v.width ? Dev::widen(walk.v.row(b, h, t)[e]) : A(0);
    }
    for (int i = dev.thread(); i < n; i += dev.threads()) {
      shared.decay[i] = decayed<Dev>(static_cast<A>(mask::bounded(walk.log_decay(b, h, token(i)))));
    }
  }

  template <class Dev, class Token>
  LION_DEVICE static void finish(const Dev& dev, const Parameters& p, const Shared& shared, Index b, Index h, int n,
                                 Token&& token) {
    const Finish<T, N>& to = p.finish;
    if (to.adds) {
      for (int i = dev.thread(); i < n * kColumns; i += dev.threads()) {
        shared.out[i] += to.waiting_row(b, h, token(i / kColumns))[i % kColumns];
      }
      dev.barrier();
    }
    for (int i = dev.thread(); i < n * kColumns; i += dev.threads()) {
      const int row = i / kColumns, e = i % kColumns;
      const Index t = token(row);
      if (!to.completes) {
        to.waiting_row(b, h, t)[e] = shared.out[i];
        continue;
      }
      A delta = 0;
      const A factor = to.factor(N::divides ? shared.out[row * kColumns + W] : A(0), delta);
      if (e < to.y.width)
        to.y.row(b, h, t)[e] = Dev::template narrow<T>(factor == A(0) ? A(0) : factor * shared.out[i]);
      if (to.row_sum && e == 0) to.row_sum(b, h, t) = delta;
    }
  }
};

}  // namespace lion::cuda
