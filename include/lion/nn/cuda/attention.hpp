#pragma once
/// nn::MultiHeadAttention on the GPU: projections, decays, feature maps and the operator, or softmax.

#include <algorithm>
#include <optional>
#include <variant>

#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/linear.hpp"
#include "lion/nn/cuda/lion_attention.hpp"
#include "lion/nn/cuda/softmax_gradient.hpp"

namespace lion::cuda {

/// Softmax attention with the interface of LionAttention: neither decays nor features.
template <class T>
class SoftmaxCore {
 public:
  using A = accumulator_t<T>;
  static constexpr bool has_features = false;

  SoftmaxCore() = default;
  SoftmaxCore(Index width, Index heads) : width_(width), heads_(heads) {}

  void set_form(const form::Any&) {}
  Index decay_size(const nn::TokenBatch&) const { return 0; }

  std::size_t workspace_size(const nn::TokenBatch& batch) const {
    const View<const T, 2> qkv(nullptr, {batch.tokens(), 3 * width_});
    checked_dims(nn::attention_inputs(qkv, qkv, batch, heads_));
    return 0;
  }
  /// Of `backward`.
  std::size_t backward_workspace_size(const nn::TokenBatch& batch) const {
    Arena counting;
    counting.take<A>(batch.tokens() * heads_);
    return counting.used() + kAlignment;  // borrowed memory may begin anywhere
  }

  template <class Queue>
  void decays(const Queue&, const View<const T, 2>&, const nn::TokenBatch&, A*) const {}

  template <class Queue>
  void features(const Queue&, const View<const T, 2>&, const View<T, 2>&) const {}

  /// The rows' log-sum-exp [B,H,L] goes to log_sum, unless it is nullptr.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>&, const View<const T, 2>& qkv, const A*, const View<T, 2>& y,
               A* log_sum, const nn::TokenBatch& batch, Workspace&) const {
    softmax_attention(queue, nn::attention_inputs(qkv, qkv, batch, heads_), rows_of(y, batch), log_sum);
  }

  template <class Queue>
  void backward(const Queue& queue, const View<const T, 2>&, const View<const T, 2>& qkv, const A*,
                const View<const T, 2>& y, const A* log_sum, const View<const T, 2>& dy, const View<T, 2>& dqkv, A*,
                const nn::TokenBatch& batch, Workspace& workspace) const {
    workspace.reserve(backward_workspace_size(batch));
    A* slopes = workspace.arena().template take<A>(batch.tokens() * heads_);
    softmax_attention_backward(queue, nn::attention_inputs(qkv, qkv, batch, heads_), rows_of(y, batch), log_sum,
                               rows_of(dy, batch), nn::attention_gradients(dqkv, batch, heads_), slopes);
  }

  template <class Queue>
  void backward_decays(const Queue&, const TrainedWeights<T>&, const View<const T, 2>&, const A*, A*, const View<T, 2>&,
                       A*) const {}
  Index backward_scratch(Index) const { return 0; }

 private:
  /// Rows of all heads [B,H,L,C/H].
  template <class X>
  auto rows_of(const View<X, 2>& x, const nn::TokenBatch& batch) const {
    return nn::head_view(x.data(), batch, heads_, width_, width_, 0);
  }

  Index width_ = 0, heads_ = 1;
};

/// What a layer keeps of a training step for its backward pass; N = B·L tokens.
template <class T>
struct AttentionTape {
  using A = accumulator_t<T>;

  View<T, 2> qkv;       ///< [N,3C] before the feature map
  View<T, 2> features;  ///< [N,2C] φ(q), φ(k); qkv itself where there is no feature map
  View<T, 2> y;         ///< [N,C] before the norm and the output projection
  View<T, 2> normed;    ///< [N,C] before the output projection; y itself where there is no norm
  A* statistics;        ///< [N,2] of the norm
  A* log_lambda;        ///< decay_size elements
  A* row_sum;           ///< [B,H,L], or the log-sum-exp of softmax

  template <class Attention>
  AttentionTape(const Attention& attention, const nn::TokenBatch& batch, Arena& arena)
      : qkv(take_rows<T>(arena, batch, 3 * attention.width())),
        features(attention.has_features() ? take_rows<T>(arena, batch, 2 * attention.width()) : qkv),
        y(take_rows<T>(arena, batch, attention.width())),
        normed(attention.has_norm() ? take_rows<T>(arena, batch, attention.width()) : y),
        statistics(attention.has_norm() ? arena.take<A>(2 * batch.tokens()) : nullptr),
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

  // ------------------------------------------------------------------------------------------------ training

  bool has_norm() const { return norm_.has_value(); }
  bool has_features() const {
    return std::visit([](const auto& core) { return core.has_features; }, core_);
  }
  std::size_t training_workspace_size(const nn::TokenBatch& batch) const {
    return std::visit(
        [&](const auto& core) { return (std::max)(core.workspace_size(batch), core.backward_workspace_size(batch)); },
        core_);
  }
  /// Elements of `sums` below.
  Index backward_scratch(Index tokens) const {
    return std::visit(
        [&](const auto& core) {
          return (std::max)({qkv_.backward_scratch(tokens), proj_.backward_scratch(tokens),
                             core.backward_scratch(tokens), LayerNorm<T>::backward_scratch(tokens, width_)});
        },
        core_);
  }

  /// out = x + attention(z), keeping on the tape what backward needs (beside z).
  template <class Queue>
  void forward_train(const Queue& queue, const View<const T, 2>& z, const View<const T, 2>& x, const View<T, 2>& out,
                     const AttentionTape<T>& tape, const nn::TokenBatch& batch, Workspace& workspace) const {
    std::visit(
        [&](const auto& core) {
          core.decays(queue, z, batch, tape.log_lambda);
          qkv_.forward(queue, z, tape.qkv);
          core.features(queue, tape.qkv, tape.features);
          core.forward(queue, tape.features, tape.qkv, tape.log_lambda, tape.y, tape.row_sum, batch, workspace);
        },
        core_);
    if (norm_) norm_->forward(queue, tape.y, tape.normed, tape.statistics);
    proj_.forward(queue, tape.normed, out, x);
  }

  /// dz [N,C] = residual, if there is one, + the gradient of z from dout, and the weights' gradients are added; `sums`
  /// has backward_scratch(N) elements.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& dout,
                const View<const T, 2>& z, const AttentionTape<T>& tape, AttentionScratch<T>& scratch,
                const View<T, 2>& dz, const nn::TokenBatch& batch, A* sums,
                const View<const T, 2>& residual = {}) const {
    proj_.backward_weights(queue, weights, dout, tape.normed, sums);
    proj_.backward_input(queue, dout, scratch.dy);
    if (norm_) norm_->backward(queue, weights, scratch.dy, tape.y, tape.statistics, scratch.dy, sums, false);
    std::visit(
        [&](const auto& core) {
          core.backward(queue, tape.features, tape.qkv, tape.log_lambda, tape.y, tape.row_sum, scratch.dy, scratch.dqkv,
                        scratch.dlog_lambda, batch, scratch.workspace);
          qkv_.backward_weights(queue, weights, scratch.dqkv, z, sums);
          qkv_.backward_input(queue, scratch.dqkv, dz, residual);
          core.backward_decays(queue, weights, z, tape.log_lambda, scratch.dlog_lambda, dz, sums);
        },
        core_);
  }

 private:
  Linear<T> qkv_, proj_;
  Index width_ = 0, heads_ = 1;
  std::variant<SoftmaxCore<T>, Lion<mask::Linear>, Lion<mask::Decay>, Lion<mask::Selective>> core_;
  std::optional<LayerNorm<T>> norm_;
};

}  // namespace lion::cuda
