#pragma once
/// LION between its projections: decays, feature maps, orders and the operator (math.md §6, §7).

#include <array>
#include <span>

#include "lion/cpu/attention.hpp"
#include "lion/feature/feature.hpp"
#include "lion/nn/decays.hpp"
#include "lion/nn/token_batch.hpp"
#include "lion/visit.hpp"

namespace lion::nn {

/// The feature map of a vision layer: shifted ELU without decay, normalised shifted SiLU with.
template <class M>
using VisionFeature =
    std::conditional_t<M::decay == mask::DecayKind::none, feature::ShiftedElu, feature::NormalisedShiftedSilu>;

/// Views of heads in a fused matrix of `stride` columns: [B,H,L,D] from column `first` on; of nothing if data is
/// nullptr.
template <class T>
View<T, 4> head_view(T* data, const TokenBatch& batch, Index heads, Index width, Index stride, Index first) {
  return View<T, 4>(data ? data + first : data, {batch.samples, heads, batch.length, width / heads},
                    {batch.length * stride, width / heads, stride, 1});
}

/// What an attention reads: q and k in columns 0 … 2C of `mapped`, v in columns 2C … 3C of qkv [N,3C].
template <Scalar S>
AttentionInputs<S> attention_inputs(const View<const S, 2>& mapped, const View<const S, 2>& qkv,
                                    const TokenBatch& batch, Index heads) {
  const Index width = qkv.extent(1) / 3;
  return {head_view(mapped.data(), batch, heads, width, mapped.stride(0), 0),
          head_view(mapped.data(), batch, heads, width, mapped.stride(0), width),
          head_view(qkv.data(), batch, heads, width, qkv.stride(0), 2 * width), batch.key_mask, batch.cu_seqlens};
}

/// Where its gradients go: dqkv [N,3C].
template <Scalar S>
AttentionGradients<S> attention_gradients(const View<S, 2>& dqkv, const TokenBatch& batch, Index heads) {
  const Index width = dqkv.extent(1) / 3;
  return {head_view(dqkv.data(), batch, heads, width, dqkv.stride(0), 0),
          head_view(dqkv.data(), batch, heads, width, dqkv.stride(0), width),
          head_view(dqkv.data(), batch, heads, width, dqkv.stride(0), 2 * width)};
}

/// φ(q), φ(k), v to y under the mask M, whose decays come from the layer's input z [N,C]; N = B·L, C = H·D.
template <Real S, class M, class Feature = VisionFeature<M>, class Normaliser = normalise::RowSum>
class LionAttention {
 public:
  static constexpr bool has_features = !std::same_as<Feature, feature::Identity>;

  LionAttention() = default;
  LionAttention(const DecayOptions& decays, Index width, Index heads)
      : decays_(decays, width, heads), width_(width), heads_(heads) {}

  void initialise(const PlacedRandom& random) { decays_.initialise(random); }
  void set_form(const form::Any& form) { form_ = form; }

  /// Elements of log λ of all orders.
  Index decay_size(const TokenBatch& batch) const { return decays_.orders() * decays_.size(batch.tokens()); }

  /// log λ from z [N,C].
  void decays(const View<const S, 2>& z, const TokenBatch& batch, S* log_lambda, const Executor& executor) const {
    decays_.forward(z, batch.samples, log_lambda, executor);
  }

  /// φ(q), φ(k) of qkv [N,3C] to columns 0 … 2C of `mapped`, which may be qkv; without features it must be.
  void features(const View<const S, 2>& qkv, const View<S, 2>& mapped, const Executor& executor) const {
    if constexpr (has_features) {
      for_each_head(qkv.extent(0), executor,
                    [&](Index t, Index c, Index head) { Feature::forward(qkv.at(t, c), mapped.at(t, c), head); });
    }
  }

  /// y [N,C] from φ(q), φ(k) (columns 0 … 2C of `mapped`) and v (of qkv [N,3C]). The row sums [B,H,L] go to row_sum
  /// unless it is nullptr.
  void forward(const View<const S, 2>& mapped, const View<const S, 2>& qkv, const S* log_lambda,
               const TokenBatch& batch, S* y, S* row_sum, Workspace& workspace, const Executor& executor) const {
    const AttentionInputs<S> in = attention_inputs(mapped, qkv, batch, heads_);
    AttentionOutputs<S> out{head_view(y, batch, heads_, width_, width_, 0)};
    if (row_sum && Normaliser::divides) out.row_sum = View<S, 3>(row_sum, {batch.samples, heads_, batch.length});
    const Masks masks(*this, batch, log_lambda);
    std::visit([&](auto form) { Operator<decltype(form)>{form}.forward(in, masks.span(), out, workspace, executor); },
               form_);
  }

  /// dqkv [N,3C] and dlog_lambda (both overwritten) from dy, with what forward read and wrote.
  void backward(const View<const S, 2>& mapped, const View<const S, 2>& qkv, const S* log_lambda,
                const TokenBatch& batch, const S* y, const S* row_sum, const S* dy, const View<S, 2>& dqkv,
                S* dlog_lambda, Workspace& workspace, const Executor& executor) const {
    const AttentionInputs<S> in = attention_inputs(mapped, qkv, batch, heads_);
    AttentionUpstream<S> upstream{head_view(dy, batch, heads_, width_, width_, 0)};
    if constexpr (Normaliser::divides) {
      upstream.y = head_view(y, batch, heads_, width_, width_, 0);
      upstream.row_sum = View<const S, 3>(row_sum, {batch.samples, heads_, batch.length});
    }
    const AttentionGradients<S> gradients = attention_gradients(dqkv, batch, heads_);
    const Masks masks(*this, batch, log_lambda);
    std::array<MaskGradients<M, S>, kOrders> mask_gradients{};
    for (Index r = 0; r < decays_.orders(); ++r) {
      mask_gradients[static_cast<std::size_t>(r)] = decays_.gradients(batch.samples, batch.length, r, dlog_lambda);
    }
    const std::span<const MaskGradients<M, S>> of_masks(mask_gradients.data(), masks.span().size());
    std::visit(
        [&](auto form) {
          Operator<decltype(form)>{form}.backward(in, masks.span(), upstream, gradients, of_masks, workspace, executor);
        },
        form_);
    if constexpr (has_features) {
      for_each_head(qkv.extent(0), executor, [&](Index t, Index c, Index head) {
        Feature::backward(qkv.at(t, c), dqkv.at(t, c), dqkv.at(t, c), head);
      });
    }
  }

  /// dz [N,C] += what reaches it through the decays; their weights' gradients are added; dlog_lambda is overwritten.
  void backward_decays(const View<const S, 2>& z, const S* log_lambda, S* dlog_lambda, const View<S, 2>& dz,
                       const Executor& executor) {
    decays_.backward(z, log_lambda, dlog_lambda, dz, executor);
  }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    const View<const S, 2> qkv(nullptr, {batch.tokens(), 3 * width_});
    const AttentionInputs<S> in = attention_inputs(qkv, qkv, batch, heads_);
    const auto orders = static_cast<std::size_t>(decays_.orders());
    return std::visit([&](auto form) { return Operator<decltype(form)>{form}.workspace_size(in, executor, orders); },
                      form_);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    decays_.for_each_parameter(f);
  }

 private:
  static constexpr std::size_t kOrders = 2;
  template <class Form>
  using Operator = Attention<M, Form, backend::Cpu, Normaliser, direction::Both>;

  class Masks {
   public:
    Masks(const LionAttention& layer, const TokenBatch& batch, const S* log_lambda)
        : count_(static_cast<std::size_t>(layer.decays_.orders())) {
      for (std::size_t r = 0; r < kOrders; ++r) {
        if (r == count_) break;  // the loop has the array's bound, not this one: g++ warns of writes beyond it else
        masks_[r].mask = layer.decays_.parameters(batch.samples, batch.length, static_cast<Index>(r), log_lambda);
        // Without decay every order gives the same.
        if (M::decay != mask::DecayKind::none && r < batch.orders.size()) masks_[r].order = batch.orders[r];
      }
    }
    std::span<const OrderedMask<M, S>> span() const { return {masks_.data(), count_}; }

   private:
    std::size_t count_;
    std::array<OrderedMask<M, S>, kOrders> masks_{};
  };

  /// f(token, column, width) for each head of q and k.
  template <class F>
  void for_each_head(Index tokens, const Executor& executor, F&& f) const {
    const Index head = width_ / heads_;
    detail::for_each_block(tokens, kRowBlock / 4, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        for (Index c = 0; c < 2 * width_; c += head) f(t, c, head);
      }
    });
  }

  Decays<S, M> decays_;
  Index width_ = 0, heads_ = 1;
  form::Any form_;
};

}  // namespace lion::nn
