#pragma once
/// nn::LionAttention on the GPU: decays, feature maps and the operator.

#include <array>
#include <span>
#include <variant>

#include "lion/cuda/operator.hpp"
#include "lion/nn/attention_style.hpp"
#include "lion/nn/cuda/decays.hpp"
#include "lion/nn/cuda/features.hpp"

namespace lion::cuda {

/// LION between its projections, under the mask M.
template <class T, class M, class Style>
class LionAttention {
 public:
  using A = accumulator_t<T>;
  using Feature = typename Style::template Feature<M>;
  static constexpr bool has_features = !std::same_as<Feature, feature::Identity>;

  LionAttention() = default;
  template <class Image>
  LionAttention(Image& image, const nn::DecayOptions& decays, Index width, Index heads)
      : decays_(image, decays, heads), width_(width), heads_(heads) {}

  void set_form(const form::Any& form) { form_ = form; }

  /// Elements of log λ.
  Index decay_size(const nn::TokenBatch& batch) const { return decays_.orders() * decays_.size(batch.tokens()); }

  std::size_t workspace_size(const nn::TokenBatch& batch) const {
    return with_operator(batch, [](const auto& op, const AttentionInputs<T>& in, std::size_t orders) {
      return op.workspace_size(in, orders);
    });
  }
  /// Of `backward`.
  std::size_t backward_workspace_size(const nn::TokenBatch& batch) const {
    return with_operator(batch, [](const auto& op, const AttentionInputs<T>& in, std::size_t orders) {
      return op.backward_workspace_size(in, orders, true);
    });
  }

  template <class Queue>
  void decays(const Queue& queue, const View<const T, 2>& z, const nn::TokenBatch& batch, A* log_lambda) const {
    decays_.forward(queue, z, batch.length, log_lambda);
  }

  /// φ(q), φ(k) of qkv [N,3C] to columns 0 … 2C of `mapped`, which may be qkv; without features it must be.
  template <class Queue>
  void features(const Queue& queue, const View<const T, 2>& qkv, const View<T, 2>& mapped) const {
    if constexpr (has_features) cuda::features<Feature, T>(queue, qkv, mapped, heads_);
  }

  /// y [N,C] from φ(q), φ(k) (of `mapped`) and v (of qkv). The row sums [B,H,L] go to row_sum, unless it is nullptr.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& mapped, const View<const T, 2>& qkv, const A* log_lambda,
               const View<T, 2>& y, A* row_sum, const nn::TokenBatch& batch, Workspace& workspace) const {
    const Masks masks(*this, batch, log_lambda);
    const AttentionInputs<T> in = nn::attention_inputs(mapped, qkv, batch, heads_);
    AttentionOutputs<T> out{nn::head_view(y.data(), batch, heads_, width_, width_, 0)};
    if (row_sum && divides) out.row_sum = View<A, 3>(row_sum, {batch.samples, heads_, batch.length});
    std::visit([&](auto form) { operator_of(form).forward(queue, in, masks.span(), out, workspace); }, form_);
  }

  /// dqkv [N,3C] and dlog_lambda (both overwritten) from dy, with what forward read and wrote.
  template <class Queue>
  void backward(const Queue& queue, const View<const T, 2>& mapped, const View<const T, 2>& qkv, const A* log_lambda,
                const View<const T, 2>& y, const A* row_sum, const View<const T, 2>& dy, const View<T, 2>& dqkv,
                A* dlog_lambda, const nn::TokenBatch& batch, Workspace& workspace) const {
    const Masks masks(*this, batch, log_lambda);
    const AttentionInputs<T> in = nn::attention_inputs(mapped, qkv, batch, heads_);
    AttentionUpstream<T> upstream{nn::head_view(dy.data(), batch, heads_, width_, width_, 0)};
    if constexpr (divides) {
      upstream.y = nn::head_view(y.data(), batch, heads_, width_, width_, 0);
      upstream.row_sum = View<const A, 3>(row_sum, {batch.samples, heads_, batch.length});
    }
    std::array<MaskGradients<M, T>, kOrders> mask_gradients{};
    for (std::size_t r = 0; r < masks.span().size(); ++r) {
      mask_gradients[r] = decays_.gradients(batch.samples, batch.length, static_cast<Index>(r), dlog_lambda);
    }
    const std::span<const MaskGradients<M, T>> of_masks(mask_gradients.data(), masks.span().size());
    const AttentionGradients<T> gradients = nn::attention_gradients(dqkv, batch, heads_);
    std::visit(
        [&](auto form) {
          operator_of(form).backward(queue, in, masks.span(), upstream, gradients, of_masks, workspace);
        },
        form_);
    if constexpr (has_features) features_backward<Feature, T>(queue, qkv, dqkv, heads_);
  }

  /// dz [N,C] += what reaches it through the decays, and their weights' gradients are added; dlog_lambda is
  /// overwritten.
  template <class Queue>
  void backward_decays(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& z,
                       const A* log_lambda, A* dlog_lambda, const View<T, 2>& dz, A* sums) const {
    decays_.backward(queue, weights, z, log_lambda, dlog_lambda, dz, sums);
  }
  Index backward_scratch(Index tokens) const { return decays_.backward_scratch(tokens, width_); }

 private:
  static constexpr std::size_t kOrders = 2;
  static constexpr bool divides = Style::Normaliser::divides;

  template <class Form>
  static Operator<M, Form, typename Style::Normaliser, direction::Both> operator_of(const Form& form) {
    return {form, {}, {}};
  }

  /// f(operator, its inputs without memory, orders).
  template <class F>
  std::size_t with_operator(const nn::TokenBatch& batch, F&& f) const {
    const View<const T, 2> qkv(nullptr, {batch.tokens(), 3 * width_});
    const AttentionInputs<T> in = nn::attention_inputs(qkv, qkv, batch, heads_);
    return std::visit([&](auto form) { return f(operator_of(form), in, static_cast<std::size_t>(decays_.orders())); },
                      form_);
  }

  class Masks {
   public:
    Masks(const LionAttention& layer, const nn::TokenBatch& batch, const A* log_lambda)
        : count_(static_cast<std::size_t>(layer.decays_.orders())) {
      for (std::size_t r = 0; r < kOrders; ++r) {
        if (r == count_) break;  // the loop has the array's bound, not this one: g++ warns of writes beyond it else
        masks_[r].mask = layer.decays_.parameters(batch.samples, batch.length, static_cast<Index>(r), log_lambda);
        // Without decay every order gives the same.
        if (M::decay != mask::DecayKind::none && r < batch.orders.size()) masks_[r].order = batch.orders[r];
      }
    }
    std::span<const OrderedMask<M, T>> span() const { return {masks_.data(), count_}; }

   private:
    std::size_t count_;
    std::array<OrderedMask<M, T>, kOrders> masks_{};
  };

  Decays<T, M> decays_;
  Index width_ = 0, heads_ = 1;
  form::Any form_;
};

}  // namespace lion::cuda
