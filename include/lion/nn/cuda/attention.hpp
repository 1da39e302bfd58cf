#pragma once
/// nn::MultiHeadAttention on the GPU: projections, decays, feature maps and the operator, or softmax.

#include <optional>
#include <variant>

#include "lion/cuda/operator.hpp"
#include "lion/nn/attention_style.hpp"
#include "lion/nn/cuda/decays.hpp"
#include "lion/nn/cuda/features.hpp"
#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/linear.hpp"
#include "lion/nn/cuda/softmax_attention.hpp"

namespace lion::cuda {

/// LION between its projections, under the mask M.
template <class T, class M, class Style>
class LionAttention {
 public:
  using A = accumulator_t<T>;

  LionAttention() = default;
  LionAttention(WeightImage<T>& image, const nn::DecayOptions& decays, Index width, Index heads)
      : decays_(image, decays, heads), width_(width), heads_(heads) {}

  void set_form(const form::Any& form) { form_ = form; }

  /// Elements of log λ.
  Index decay_size(const nn::TokenBatch& batch) const { return decays_.orders() * decays_.size(batch.tokens()); }

  std::size_t workspace_size(const nn::TokenBatch& batch) const {
    const View<const T, 2> qkv(nullptr, {batch.tokens(), 3 * width_});
    const auto orders = static_cast<std::size_t>(decays_.orders());
    return std::visit(
        [&](auto form) {
          return operator_of(form).workspace_size(nn::attention_inputs(qkv, qkv, batch, heads_), orders);
        },
        form_);
  }

  template <class Queue>
  void decays(const Queue& queue, const View<const T, 2>& z, const nn::TokenBatch& batch, A* log_lambda) const {
    decays_.forward(queue, z, batch.length, log_lambda);
  }

  /// y [N,C] from qkv [N,3C], of which q and k are overwritten.
  template <class Queue>
  void forward(const Queue& queue, const View<T, 2>& qkv, const A* log_lambda, const View<T, 2>& y,
               const nn::TokenBatch& batch, Workspace& workspace) const {
    using Feature = typename Style::template Feature<M>;
    if constexpr (!std::same_as<Feature, feature::Identity>) features<Feature>(queue, qkv, heads_);
    std::array<OrderedMask<M, T>, 2> masks{};
    const auto orders = static_cast<std::size_t>(decays_.orders());
    for (std::size_t r = 0; r < masks.size(); ++r) {
      if (r == orders) break;
      masks[r].mask = decays_.parameters(batch.samples, batch.length, static_cast<Index>(r), log_lambda);
      // Without decay every order gives the same.
      if (M::decay != mask::DecayKind::none && r < batch.orders.size()) masks[r].order = batch.orders[r];
    }
    const View<const T, 2> seen = qkv;
    const AttentionInputs<T> in = nn::attention_inputs(seen, seen, batch, heads_);
    const AttentionOutputs<T> out{nn::head_view(y.data(), batch, heads_, width_, width_, 0)};
    std::visit(
        [&](auto form) {
          operator_of(form).forward(queue, in, std::span<const OrderedMask<M, T>>(masks.data(), orders), out,
                                    workspace);
        },
        form_);
  }

 private:
  template <class Form>
  static Operator<M, Form, typename Style::Normaliser, direction::Both> operator_of(const Form& form) {
    return {form, {}, {}};
  }

  Decays<T, M> decays_;
  Index width_ = 0, heads_ = 1;
  form::Any form_;
};

/// Softmax attention with the interface of LionAttention: neither decays nor scratch.
template <class T>
class SoftmaxCore {
 public:
  using A = accumulator_t<T>;

  SoftmaxCore() = default;
  SoftmaxCore(Index width, Index heads) : width_(width), heads_(heads) {}

  void set_form(const form::Any&) {}
  Index decay_size(const nn::TokenBatch&) const { return 0; }

  std::size_t workspace_size(const nn::TokenBatch& batch) const {
    const View<const T, 2> qkv(nullptr, {batch.tokens(), 3 * width_});
    checked_dims(nn::attention_inputs(qkv, qkv, batch, heads_));
    return 0;
  }

  template <class Queue>
  void decays(const Queue&, const View<const T, 2>&, const nn::TokenBatch&, A*) const {}

  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& qkv, const A*, const View<T, 2>& y,
               const nn::TokenBatch& batch, Workspace&) const {
    softmax_attention(queue, nn::attention_inputs(qkv, qkv, batch, heads_),
                      nn::head_view(y.data(), batch, heads_, width_, width_, 0));
  }

 private:
  Index width_ = 0, heads_ = 1;
};

/// x + proj(core(qkv(z))) over tokens [N,C], perhaps with a norm before proj; names as nn::MultiHeadAttention has them.
template <class T, class Style>
class MultiHeadAttention {
 public:
  using A = accumulator_t<T>;
  template <class M>
  using Lion = LionAttention<T, M, Style>;

  MultiHeadAttention() = default;
  /// `mask` is softmax, linear, decay or selective.
  MultiHeadAttention(WeightImage<T>& image, const std::string& name, Index width, Index heads, std::string_view mask,
                     Index prefix, Index orders, bool norm = false)
      : qkv_(image, Style::projections(name), width), proj_(image, Style::output(name), width), width_(width) {
    if (norm) norm_.emplace(image, Style::norm(name), 1e-5);
    if (mask == "softmax") {
      core_ = SoftmaxCore<T>(width, heads);
    } else {
      visit_mask(mask, [&]<class M>(M) {
        core_ = Lion<M>(image, Style::decays(name, M::decay, prefix, orders), width, heads);
      });
    }
  }

  void set_form(const form::Any& form) {
    std::visit([&](auto& core) { core.set_form(form); }, core_);
  }

  Index decay_size(const nn::TokenBatch& batch) const {
    return std::visit([&](const auto& core) { return core.decay_size(batch); }, core_);
  }
  std::size_t workspace_size(const nn::TokenBatch& batch) const {
    return std::visit([&](const auto& core) { return core.workspace_size(batch); }, core_);
  }

  /// x += attention(z), which may be x; y [N,C] is scratch that may be z where z is not x; `wide` has N·3C elements,
  /// `log_lambda` decay_size.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& z, const View<T, 2>& y, const View<T, 2>& x, T* wide,
               A* log_lambda, const nn::TokenBatch& batch, Workspace& workspace) const {
    const View<T, 2> fused(wide, {batch.tokens(), 3 * width_});
    std::visit(
        [&](const auto& core) {
          core.decays(queue, z, batch, log_lambda);
          qkv_.forward(queue, z, fused);
          core.forward(queue, fused, log_lambda, y, batch, workspace);
        },
        core_);
    if (norm_) norm_->forward(queue, y, y);
    proj_.forward(queue, y, x, true);
  }

 private:
  Linear<T> qkv_, proj_;
  Index width_ = 0;
  std::variant<SoftmaxCore<T>, Lion<mask::Linear>, Lion<mask::Decay>, Lion<mask::Selective>> core_;
  std::optional<LayerNorm<T>> norm_;
};

}  // namespace lion::cuda
