#pragma once
/// nn::MultiHeadAttention on the GPU: projections, decays, feature maps and the operator, or softmax.

#include <algorithm>
#include <array>
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
  void features(const Queue&, const View<const T, 2>&, const View<T, 2>&) const {}

  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>&, const View<const T, 2>& qkv, const A*, const View<T, 2>& y,
               A*, const nn::TokenBatch& batch, Workspace&) const {
    softmax_attention(queue, nn::attention_inputs(qkv, qkv, batch, heads_),
                      nn::head_view(y.data(), batch, heads_, width_, width_, 0));
  }

 private:
  Index width_ = 0, heads_ = 1;
};

/// What a layer keeps of a training step for its backward pass; N = B·L tokens.
template <class T>
struct AttentionTape {
  using A = accumulator_t<T>;

  View<T, 2> qkv;           ///< [N,3C] before the feature map
  View<T, 2> features;      ///< [N,2C] φ(q), φ(k); qkv itself where there is no feature map
  View<T, 2> y;             ///< [N,C] before the output projection
  A *log_lambda, *row_sum;  ///< decay_size elements; [B,H,L]

  template <class Attention>
  AttentionTape(const Attention& attention, const nn::TokenBatch& batch, Arena& arena)
      : qkv(take_rows<T>(arena, batch, 3 * attention.width())),
        features(attention.has_features() ? take_rows<T>(arena, batch, 2 * attention.width()) : qkv),
        y(take_rows<T>(arena, batch, attention.width())),
        log_lambda(arena.take<A>(attention.decay_size(batch))),
        row_sum(arena.take<A>(batch.tokens() * attention.heads())) {}
};

/// Memory that the layers of a model share in backward.
template <class T>
struct AttentionScratch {
  using A = accumulator_t<T>;

  View<T, 2> dy, dqkv;  ///< [N,C], [N,3C]
  A* dlog_lambda;       ///< decay_size elements
  Workspace workspace;  ///< of forward and backward

  template <class Attention>
  AttentionScratch(const Attention& attention, const nn::TokenBatch& batch, Arena& arena)
      : dy(take_rows<T>(arena, batch, attention.width())),
        dqkv(take_rows<T>(arena, batch, 3 * attention.width())),
        dlog_lambda(arena.take<A>(attention.decay_size(batch))) {
    const std::size_t size = attention.training_workspace_size(batch);
    workspace = Workspace(arena.take<std::byte>(static_cast<Index>(size)), size);
  }
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
  template <class Image>
  MultiHeadAttention(Image& image, const std::string& name, Index width, Index heads, std::string_view mask,
                     Index prefix, Index orders, bool norm = false)
      : qkv_(image, Style::projections(name), width),
        proj_(image, Style::output(name), width),
        width_(width),
        heads_(heads) {
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

  Index width() const { return width_; }
  Index heads() const { return heads_; }
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
          core.features(queue, fused, fused);
          core.forward(queue, fused, fused, log_lambda, y, nullptr, batch, workspace);
        },
        core_);
    if (norm_) norm_->forward(queue, y, y);
    proj_.forward(queue, y, x, x);
  }

  // ---------------------------------------------------------------------------------------- training: LION, no norm

  bool has_features() const {
    bool has = false;
    with_lion([&](const auto& core) { has = core.has_features; });
    return has;
  }
  std::size_t training_workspace_size(const nn::TokenBatch& batch) const {
    std::size_t size = 0;
    with_lion(
        [&](const auto& core) { size = (std::max)(core.workspace_size(batch), core.backward_workspace_size(batch)); });
    return size;
  }
  /// Elements of `sums` below.
  Index backward_scratch(Index tokens) const {
    Index size = (std::max)(qkv_.backward_scratch(tokens), proj_.backward_scratch(tokens));
    with_lion([&](const auto& core) { size = (std::max)(size, core.backward_scratch(tokens)); });
    return size;
  }

  /// out = x + attention(z), keeping on the tape what backward needs (beside z).
  template <class Queue>
  void forward_train(const Queue& queue, const View<const T, 2>& z, const View<const T, 2>& x, const View<T, 2>& out,
                     const AttentionTape<T>& tape, const nn::TokenBatch& batch, Workspace& workspace) const {
    with_lion([&](const auto& core) {
      core.decays(queue, z, batch, tape.log_lambda);
      qkv_.forward(queue, z, tape.qkv);
      core.features(queue, tape.qkv, tape.features);
      core.forward(queue, tape.features, tape.qkv, tape.log_lambda, tape.y, tape.row_sum, batch, workspace);
    });
    proj_.forward(queue, tape.y, out, x);
  }

  /// dz [N,C] (overwritten) from dout, and the weights' gradients are added; `sums` has backward_scratch(N) elements.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& dout,
                const View<const T, 2>& z, const AttentionTape<T>& tape, AttentionScratch<T>& scratch,
                const View<T, 2>& dz, const nn::TokenBatch& batch, A* sums) const {
    proj_.backward_weights(queue, weights, dout, tape.y, sums);
    proj_.backward_input(queue, dout, scratch.dy);
    with_lion([&](const auto& core) {
      core.backward(queue, tape.features, tape.qkv, tape.log_lambda, tape.y, tape.row_sum, scratch.dy, scratch.dqkv,
                    scratch.dlog_lambda, batch, scratch.workspace);
      qkv_.backward_weights(queue, weights, scratch.dqkv, z, sums);
      qkv_.backward_input(queue, scratch.dqkv, dz);
      core.backward_decays(queue, weights, z, tape.log_lambda, scratch.dlog_lambda, dz, sums);
    });
  }

 private:
  /// f(core), of LION: models with softmax are refused before they train.
  template <class F>
  void with_lion(F&& f) const {
    std::visit(
        [&]<class Core>(const Core& core) {
          if constexpr (!std::same_as<Core, SoftmaxCore<T>>) f(core);
        },
        core_);
  }

  Linear<T> qkv_, proj_;
  Index width_ = 0, heads_ = 1;
  std::variant<SoftmaxCore<T>, Lion<mask::Linear>, Lion<mask::Decay>, Lion<mask::Selective>> core_;
  std::optional<LayerNorm<T>> norm_;
};

}  // namespace lion::cuda
