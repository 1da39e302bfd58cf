#pragma once
/// Where the buffers of Hydra's mixer lie; N = B·L tokens, I the inner width, P = 2I+4N'+2H, W = I+4N' with N' the
/// width of a state.

#include "lion/nn/depthwise_conv.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/state_space.hpp"

namespace lion::nn {

/// What both scans write, or in backward their upstream gradients.
template <Real S>
struct HydraScans {
  View<S, 2> past, future;  ///< [N,I]

  HydraScans(Index tokens, Index inner, Arena& arena)
      : past(take_matrix<S>(arena, tokens, inner)), future(take_matrix<S>(arena, tokens, inner)) {}
};

/// What the forward pass computes on its way, and a training step keeps for backward.
template <Real S>
struct HydraTape {
  View<S, 2> projected;   ///< [N,P] in_proj's z, xBC and dt
  View<S, 2> mixed;       ///< [N,W] x, B, C, B', C' after the convolution
  View<S, 2> steps;       ///< [N,2H] Δ, Δ'
  S* log_lambda;          ///< [2,N,H] of both scans
  S* rates;               ///< [H] a
  View<S, 2> diagonal;    ///< [N,H]
  View<S, 2> sum;         ///< [N,I] before the norm
  View<S, 2> statistics;  ///< [N,1] of the norm; absent at inference

  template <class Mixer>
  HydraTape(const Mixer& mixer, const TokenBatch& batch, Arena& arena) : HydraTape(mixer, batch.tokens(), arena) {
    sum = take_matrix<S>(arena, batch.tokens(), mixer.inner());
    statistics = take_matrix<S>(arena, batch.tokens(), 1);
  }

 protected:
  template <class Mixer>
  HydraTape(const Mixer& mixer, Index tokens, Arena& arena)
      : projected(take_matrix<S>(arena, tokens, mixer.projected())),
        mixed(take_matrix<S>(arena, tokens, mixer.mixed())),
        steps(take_matrix<S>(arena, tokens, 2 * mixer.heads())),
        log_lambda(arena.take<S>(2 * tokens * mixer.heads())),
        rates(arena.take<S>(mixer.heads())),
        diagonal(take_matrix<S>(arena, tokens, mixer.heads())) {}
};

/// Buffers of inference that mixers share: [N,P], [N,W] and two of [N,I] beside a few values per token.
template <Real S>
struct HydraBuffers {
  /// The sum takes the place of the convolution's input.
  struct Passing : HydraTape<S> {
    template <class Mixer>
    Passing(const Mixer& mixer, const TokenBatch& batch, Arena& arena) : HydraTape<S>(mixer, batch.tokens(), arena) {
      if (this->projected.data()) this->sum = columns(this->projected, mixer.inner(), mixer.inner());
    }
  };
  Passing tape;
  HydraScans<S> scans;

  template <class Mixer>
  HydraBuffers(const Mixer& mixer, const TokenBatch& batch, Arena& arena)
      : tape(mixer, batch, arena), scans(batch.tokens(), mixer.inner(), arena) {}
};

/// Buffers of training that mixers share.
template <Real S>
struct HydraScratch {
  HydraScans<S> scans;
  View<S, 2> normal, branch;      ///< [N,I]
  View<S, 2> dprojected, dmixed;  ///< [N,P], [N,W]
  View<S, 2> ddiagonal;           ///< [N,H]
  S *dlog_lambda, *dgates;        ///< [2,N,H], [N,2H]
  S* through_decay;               ///< [N,2H]
  S* norm;                        ///< RmsNorm::backward_scratch

  template <class Mixer>
  HydraScratch(const Mixer& mixer, const TokenBatch& batch, Arena& arena)
      : HydraScratch(mixer, batch.tokens(), mixer.inner(), mixer.heads(), arena) {}

 private:
  template <class Mixer>
  HydraScratch(const Mixer& mixer, Index tokens, Index inner, Index heads, Arena& arena)
      : scans(tokens, inner, arena),
        normal(take_matrix<S>(arena, tokens, inner)),
        branch(take_matrix<S>(arena, tokens, inner)),
        dprojected(take_matrix<S>(arena, tokens, mixer.projected())),
        dmixed(take_matrix<S>(arena, tokens, mixer.mixed())),
        ddiagonal(take_matrix<S>(arena, tokens, heads)),
        dlog_lambda(arena.take<S>(2 * tokens * heads)),
        dgates(arena.take<S>(2 * tokens * heads)),
        through_decay(arena.take<S>(2 * tokens * heads)),
        norm(arena.take<S>(mixer.norm.backward_scratch(tokens))) {}
};

}  // namespace lion::nn
