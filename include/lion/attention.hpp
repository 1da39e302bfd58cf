#pragma once
/// The front door: what an attention is made of, what it takes and what it gives.
///
/// B batch, H heads of v, Hk heads of q and k (divides H: heads h·Hk/H share one), L tokens, D key width, E value
/// width, A = accumulator_t<T> (float, or double for double). Views have any strides with a contiguous last
/// dimension. Outputs must not overlap inputs or one another.

#include <concepts>
#include <optional>
#include <span>

#include "lion/backend/backend.hpp"
#include "lion/core/executor.hpp"
#include "lion/core/workspace.hpp"
#include "lion/direction/direction.hpp"
#include "lion/form/form.hpp"
#include "lion/mask/mask.hpp"
#include "lion/normalise/normalise.hpp"

namespace lion {

/// What forward and backward read. Feature maps have been applied to q and k.
template <class T>
struct AttentionInputs {
  static_assert(Scalar<T>, "lion::AttentionInputs: T must be float, double, lion::bfloat16 or lion::half");
  View<const T, 4> q;              ///< [B,Hk,L,D]
  View<const T, 4> k;              ///< [B,Hk,L,D]
  View<const T, 4> v;              ///< [B,H,L,E]
  View<const bool, 2> key_mask{};  ///< [B,L], false where a token is padding: its k and v are never read; its q and dy
                                   ///< must be finite
  std::span<const Index> cu_seqlens{};  ///< cumulative lengths 0 … L of packed sequences; empty: one sequence
};

/// What forward writes.
template <Scalar T>
struct AttentionOutputs {
  View<T, 4> y;                         ///< [B,H,L,E]
  View<accumulator_t<T>, 3> row_sum{};  ///< δ = d + ε [B,H,L] for backward (0 without normalisation); wanted if present
};

/// What backward reads beside the inputs. y and row_sum as forward gave them, or neither: then they are computed again.
template <Scalar T>
struct AttentionUpstream {
  View<const T, 4> dy;                        ///< [B,H,L,E]
  View<const T, 4> y{};                       ///< [B,H,L,E]
  View<const accumulator_t<T>, 3> row_sum{};  ///< [B,H,L]
};

/// What backward writes (overwrites).
template <Scalar T>
struct AttentionGradients {
  View<T, 4> dq;  ///< [B,Hk,L,D]
  View<T, 4> dk;  ///< [B,Hk,L,D]
  View<T, 4> dv;  ///< [B,H,L,E]
};

/// A mask along an order of the tokens. Several of these give the mean of their attentions (♮, math.md §1).
template <class Mask, Scalar T>
struct OrderedMask {
  typename Mask::template Parameters<accumulator_t<T>> mask;  ///< in token order
  std::span<const Index> order{};  ///< [L], the token at each place of the walk; empty: as they lie
};

template <class Mask, Scalar T>
using MaskParameters = typename Mask::template Parameters<accumulator_t<T>>;
template <class Mask, Scalar T>
using MaskGradients = typename Mask::template Gradients<accumulator_t<T>>;

namespace detail {
template <class X, class... Allowed>
inline constexpr bool one_of = (std::same_as<X, Allowed> || ...);

template <class F>
concept Form = one_of<F, form::Full, form::Rnn, form::Chunk, form::Auto>;
template <class B>
concept Backend = one_of<B, backend::Cpu, backend::Cuda>;
template <class N>
concept Normaliser = one_of<N, normalise::RowSum, normalise::None>;
template <class D>
concept Direction = one_of<D, direction::Both, direction::Forward, direction::Backward>;
}  // namespace detail

/// Linear attention under a mask, in a form, on a backend (math.md §1):
///
///     y_i = Σ_j A_ij v_j / (Σ_j A_ij + ε),   A = s · (Q Kᵀ) ⊙ M
///
/// The combinations that exist are specialisations, documented at lion/cpu/attention.hpp; this one only says which.
template <class Mask, class Form = form::Auto, class Backend = backend::Cpu, class Normaliser = normalise::RowSum,
          class Direction = direction::Both>
struct Attention {
  static_assert(mask::Mask<Mask>,
                "lion::Attention: the mask (1st argument) must be mask::Linear, mask::Decay, mask::Selective or a type "
                "of yours that satisfies lion::mask::Mask");
  static_assert(detail::Form<Form>,
                "lion::Attention: the form (2nd argument) must be form::Full, form::Rnn, form::Chunk or form::Auto");
  static_assert(detail::Backend<Backend>,
                "lion::Attention: the backend (3rd argument) must be backend::Cpu or backend::Cuda");
  static_assert(detail::Normaliser<Normaliser>,
                "lion::Attention: the normaliser (4th argument) must be normalise::RowSum or normalise::None");
  static_assert(detail::Direction<Direction>,
                "lion::Attention: the direction (5th argument) must be direction::Both, direction::Forward or "
                "direction::Backward");
  static_assert(!std::same_as<Backend, backend::Cuda> || backend::Cuda::available(),
                "lion::Attention: backend::Cuda is not in this build; configure with -DLION_CUDA=ON, link lion::cuda "
                "and include lion/cuda.hpp");
};

}  // namespace lion
