#pragma once
/// The attention of a block: qkv projection, a core (softmax, or LION under some mask), output projection.

#include <optional>
#include <variant>

#include "lion/nn/attention_style.hpp"
#include "lion/nn/layer_norm.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/softmax_attention.hpp"

namespace lion::nn {

/// Softmax attention with the interface of LionAttention: neither decays nor features.
template <Real S>
class SoftmaxCore {
 public:
  static constexpr bool has_features = false;

  SoftmaxCore() = default;
  SoftmaxCore(Index width, Index heads) : width_(width), heads_(heads) {}

  void initialise(const PlacedRandom&) {}
  void set_form(const form::Any&) {}
  Index decay_size(const TokenBatch&) const { return 0; }
  void decays(const View<const S, 2>&, const TokenBatch&, S*, const Executor&) const {}
  void features(const View<const S, 2>&, const View<S, 2>&, const Executor&) const {}

  void forward(const View<const S, 2>&, const View<const S, 2>& qkv, const S*, const TokenBatch& batch, S* y,
               S* log_sum, Workspace& workspace, const Executor& executor) const {
    const View<S, 3> sums = log_sum ? View<S, 3>(log_sum, {batch.samples, heads_, batch.length}) : View<S, 3>();
    attention_.forward(attention_inputs(qkv, qkv, batch, heads_), head_view(y, batch, heads_, width_, width_, 0), sums,
                       workspace, executor);
  }

  void backward(const View<const S, 2>&, const View<const S, 2>& qkv, const S*, const TokenBatch& batch, const S* y,
                const S* log_sum, const S* dy, const View<S, 2>& dqkv, S*, Workspace& workspace,
                const Executor& executor) const {
    attention_.backward(attention_inputs(qkv, qkv, batch, heads_), head_view(y, batch, heads_, width_, width_, 0),
                        View<const S, 3>(log_sum, {batch.samples, heads_, batch.length}),
                        head_view(dy, batch, heads_, width_, width_, 0), attention_gradients(dqkv, batch, heads_),
                        workspace, executor);
  }

  void backward_decays(const View<const S, 2>&, const S*, S*, const View<S, 2>&, const Executor&) {}

  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    const View<const S, 2> qkv(nullptr, {batch.tokens(), 3 * width_});
    return attention_.workspace_size(attention_inputs(qkv, qkv, batch, heads_), executor);
  }

  template <class F>
  void for_each_parameter(F&&) {}

 private:
  SoftmaxAttention<S> attention_;
  Index width_ = 0, heads_ = 1;
};

/// What a layer keeps of a training step for its backward pass, in memory of the caller's; N = B·L tokens.
template <Real S>
struct AttentionTape {
  View<S, 2> qkv;           ///< [N,3C] before the feature map
  View<S, 2> features;      ///< [N,2C] φ(q), φ(k); qkv itself where there is no feature map
  S* log_lambda = nullptr;  ///< decay_size elements
  View<S, 2> y;             ///< [N,C] before the norm and the output projection
  S* row_sum = nullptr;     ///< [B,H,L], or the log-sum-exp of softmax
  View<S, 2> normed;        ///< [N,C] before the output projection; y itself where there is no norm
  View<S, 2> statistics;    ///< [N,2] of the norm

  template <class Attention>
  AttentionTape(const Attention& attention, const TokenBatch& batch, Arena& arena) {
    const auto matrix = [&](Index columns) { return take_matrix<S>(arena, batch.tokens(), columns); };
    qkv = matrix(3 * attention.width());
    log_lambda = arena.take<S>(attention.decay_size(batch));
    normed = y = matrix(attention.width());
    row_sum = arena.take<S>(batch.tokens() * attention.heads());
    features = attention.has_features() ? matrix(2 * attention.width()) : qkv;
    if (!attention.has_norm()) return;
    normed = matrix(attention.width());
    statistics = matrix(2);
  }
};

/// x + proj(core(qkv(z))) over tokens [N,C], perhaps with a norm before proj. Parameters have the names that the style
/// (attention_style.hpp) makes of `name`.
template <Real S, class Style = VisionAttention>
class MultiHeadAttention {
 public:
  template <class M>
  using Lion = typename Style::template Lion<S, M>;
  using Core = std::variant<SoftmaxCore<S>, Lion<mask::Linear>, Lion<mask::Decay>, Lion<mask::Selective>>;

  MultiHeadAttention() = default;
  /// `mask` is softmax, linear, decay or selective; `orders` 1 or 2; `prefix` class tokens do not decay; `norm`: a
  /// LayerNorm (ε 1e-5) between the core and the output projection.
  MultiHeadAttention(const std::string& name, Index width, Index heads, std::string_view mask, Index prefix,
                     Index orders, bool norm = false)
      : qkv(Style::template projection<S>(name, width)),
        proj(Style::output(name), width, width),
        width_(width),
        heads_(heads) {
    if (norm) norm_.emplace(Style::norm(name), width, 1e-5);
    if (mask == "softmax") {
      core_ = SoftmaxCore<S>(width, heads);
    } else {
      visit_mask(mask,
                 [&]<class M>(M) { core_ = Lion<M>(Style::decays(name, M::decay, prefix, orders), width, heads); });
    }
  }

  void initialise(const PlacedRandom& random) {
    qkv.initialise(random.stream(1));
    proj.initialise(random.stream(2));
    std::visit([&](auto& core) { core.initialise(random.stream(3)); }, core_);
  }

  void set_form(const form::Any& form) {
    std::visit([&](auto& core) { core.set_form(form); }, core_);
  }

  Index width() const { return width_; }
  Index heads() const { return heads_; }
  bool has_norm() const { return norm_.has_value(); }
  bool has_features() const {
    return std::visit([](const auto& core) { return core.has_features; }, core_);
  }
  Index decay_size(const TokenBatch& batch) const {
    return std::visit([&](const auto& core) { return core.decay_size(batch); }, core_);
  }
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return std::visit([&](const auto& core) { return core.workspace_size(batch, executor); }, core_);
  }

  /// x += attention(z). z may be x; y [N,C] is scratch that may be z where z is not x; `wide` has N·3C elements,
  /// `log_lambda` decay_size.
  void forward(const View<const S, 2>& z, const View<S, 2>& y, const View<S, 2>& x, S* wide, S* log_lambda,
               const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    const View<S, 2> fused(wide, {batch.tokens(), 3 * width_});
    std::visit(
        [&](const auto& core) {
          core.decays(z, batch, log_lambda, executor);
          qkv.forward(z, fused, executor);
          core.features(fused, fused, executor);
          core.forward(fused, fused, log_lambda, batch, y.data(), nullptr, workspace, executor);
        },
        core_);
    if (norm_) norm_->forward(y, y, executor);
    proj.forward(y, x, executor, x);
  }

  /// out = attention(z), keeping on the tape what backward needs (beside z).
  void forward_train(const View<const S, 2>& z, const View<S, 2>& out, const AttentionTape<S>& tape,
                     const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    std::visit(
        [&](const auto& core) {
          core.decays(z, batch, tape.log_lambda, executor);
          qkv.forward(z, tape.qkv, executor);
          core.features(tape.qkv, tape.features, executor);
          core.forward(tape.features, tape.qkv, tape.log_lambda, batch, tape.y.data(), tape.row_sum, workspace,
                       executor);
        },
        core_);
    if (norm_) norm_->forward(tape.y, tape.normed, executor, tape.statistics);
    proj.forward(tape.normed, out, executor);
  }

  /// dz [N,C] (overwritten) from dout; the weights' gradients are added. Scratch: dy [N,C], dqkv [N,3C], dlog_lambda
  /// of decay_size elements, with a norm also `norm` of LayerNorm::backward_scratch elements.
  void backward(const View<const S, 2>& dout, const View<const S, 2>& z, const AttentionTape<S>& tape,
                const TokenBatch& batch, const View<S, 2>& dy, const View<S, 2>& dqkv, S* dlog_lambda,
                const View<S, 2>& dz, Workspace& workspace, const Executor& executor, S* norm = nullptr) {
    proj.backward_weights(dout, tape.normed, executor);
    proj.backward_input(dout, dy, executor);
    if (norm_) norm_->backward(dy, tape.y, tape.statistics, dy, norm, executor, false);
    std::visit(
        [&](auto& core) {
          core.backward(tape.features, tape.qkv, tape.log_lambda, batch, tape.y.data(), tape.row_sum, dy.data(), dqkv,
                        dlog_lambda, workspace, executor);
          qkv.backward_weights(dqkv, z, executor);
          qkv.backward_input(dqkv, dz, executor);
          core.backward_decays(z, tape.log_lambda, dlog_lambda, dz, executor);
        },
        core_);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    qkv.for_each_parameter(f);
    proj.for_each_parameter(f);
    std::visit([&](auto& core) { core.for_each_parameter(f); }, core_);
    if (norm_) norm_->for_each_parameter(f);
  }

  typename Style::template Projection<S> qkv;
  Linear<S> proj;

 private:
  Index width_ = 0, heads_ = 1;
  Core core_;
  std::optional<LayerNorm<S>> norm_;
};

}  // namespace lion::nn
