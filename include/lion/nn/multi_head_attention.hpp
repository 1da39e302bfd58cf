#pragma once
/// The attention of a block: qkv projection, a core (softmax, or LION under some mask), output projection.

#include <variant>

#include "lion/nn/lion_attention.hpp"
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
  void features(S*, const TokenBatch&, const Executor&) const {}
  void features(const S*, S*, Index, const TokenBatch&, const Executor&) const {}

  void forward(const S*, Index, const S* qkv, const S*, const TokenBatch& batch, S* y, S* log_sum, Workspace& workspace,
               const Executor& executor) const {
    const View<S, 3> sums = log_sum ? View<S, 3>(log_sum, {batch.samples, heads_, batch.length}) : View<S, 3>();
    attention_.forward(inputs(qkv, batch), head_view(y, batch, heads_, width_, width_, 0), sums, workspace, executor);
  }

  void backward(const S*, const S* qkv, const S*, const TokenBatch& batch, const S* y, const S* log_sum, const S* dy,
                S* dqkv, S*, Workspace& workspace, const Executor& executor) const {
    attention_.backward(inputs(qkv, batch), head_view(y, batch, heads_, width_, width_, 0),
                        View<const S, 3>(log_sum, {batch.samples, heads_, batch.length}),
                        head_view(dy, batch, heads_, width_, width_, 0),
                        {head_view(dqkv, batch, heads_, width_, 3 * width_, 0),
                         head_view(dqkv, batch, heads_, width_, 3 * width_, width_),
                         head_view(dqkv, batch, heads_, width_, 3 * width_, 2 * width_)},
                        workspace, executor);
  }

  void backward_decays(const View<const S, 2>&, const S*, S*, const View<S, 2>&, const Executor&) {}

  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return attention_.workspace_size(inputs(nullptr, batch), executor);
  }

  template <class F>
  void for_each_parameter(F&&) {}

 private:
  AttentionInputs<S> inputs(const S* qkv, const TokenBatch& batch) const {
    return {head_view(qkv, batch, heads_, width_, 3 * width_, 0),
            head_view(qkv, batch, heads_, width_, 3 * width_, width_),
            head_view(qkv, batch, heads_, width_, 3 * width_, 2 * width_)};
  }

  SoftmaxAttention<S> attention_;
  Index width_ = 0, heads_ = 1;
};

/// What a layer keeps of a training step for its backward pass, in memory of the caller's; N = B·L tokens.
template <Real S>
struct AttentionTape {
  View<S, 2> qkv;           ///< [N,3C] before the feature map
  View<S, 2> features;      ///< [N,2C] φ(q), φ(k); absent for softmax
  S* log_lambda = nullptr;  ///< decay_size elements
  View<S, 2> y;             ///< [N,C] before the output projection
  S* row_sum = nullptr;     ///< [B,H,L], or the log-sum-exp of softmax

  template <class Attention>
  AttentionTape(const Attention& attention, const TokenBatch& batch, Arena& arena)
      : AttentionTape(attention, batch, batch.tokens(), attention.width(), arena) {}

 private:
  template <class Attention>
  AttentionTape(const Attention& attention, const TokenBatch& batch, Index tokens, Index width, Arena& arena)
      : qkv(arena.take<S>(tokens * 3 * width), {tokens, 3 * width}),
        log_lambda(arena.take<S>(attention.decay_size(batch))),
        y(arena.take<S>(tokens * width), {tokens, width}),
        row_sum(arena.take<S>(tokens * attention.heads())) {
    if (attention.has_features()) features = View<S, 2>(arena.take<S>(tokens * 2 * width), {tokens, 2 * width});
  }
};

/// x + proj(core(qkv(z))) over tokens [N,C]; parameters `name`.qkv, `name`.proj and the core's.
template <Real S>
class MultiHeadAttention {
 public:
  using Core = std::variant<SoftmaxCore<S>, LionAttention<S, mask::Linear>, LionAttention<S, mask::Decay>,
                            LionAttention<S, mask::Selective>>;

  MultiHeadAttention() = default;
  /// `mask` is softmax, linear, decay or selective; `orders` 1 or 2; `prefix` class tokens do not decay.
  MultiHeadAttention(const std::string& name, Index width, Index heads, std::string_view mask, Index prefix,
                     Index orders)
      : qkv(name + ".qkv", width, 3 * width), proj(name + ".proj", width, width), width_(width), heads_(heads) {
    if (mask == "softmax") {
      core_ = SoftmaxCore<S>(width, heads);
    } else {
      visit_mask(mask,
                 [&](auto kind) { core_ = LionAttention<S, decltype(kind)>(name, width, heads, prefix, orders); });
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
  bool has_features() const {
    return std::visit([](const auto& core) { return core.has_features; }, core_);
  }
  Index decay_size(const TokenBatch& batch) const {
    return std::visit([&](const auto& core) { return core.decay_size(batch); }, core_);
  }
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return std::visit([&](const auto& core) { return core.workspace_size(batch, executor); }, core_);
  }

  /// x += attention(z). z [N,C] is overwritten; `wide` has N·3C elements, `log_lambda` decay_size.
  void forward(const View<S, 2>& z, const View<S, 2>& x, S* wide, S* log_lambda, const TokenBatch& batch,
               Workspace& workspace, const Executor& executor) const {
    std::visit(
        [&](const auto& core) {
          core.decays(z, batch, log_lambda, executor);
          qkv.forward(z, View<S, 2>(wide, {batch.tokens(), 3 * width_}), executor);
          core.features(wide, batch, executor);
          core.forward(wide, 3 * width_, wide, log_lambda, batch, z.data(), nullptr, workspace, executor);
        },
        core_);
    proj.forward(z, x, executor, x);
  }

  /// out = attention(z), keeping on the tape what backward needs (beside z).
  void forward_train(const View<const S, 2>& z, const View<S, 2>& out, const AttentionTape<S>& tape,
                     const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    std::visit(
        [&](const auto& core) {
          core.decays(z, batch, tape.log_lambda, executor);
          qkv.forward(z, tape.qkv, executor);
          core.features(tape.qkv.data(), tape.features.data(), 2 * width_, batch, executor);
          core.forward(tape.features.data(), 2 * width_, tape.qkv.data(), tape.log_lambda, batch, tape.y.data(),
                       tape.row_sum, workspace, executor);
        },
        core_);
    proj.forward(tape.y, out, executor);
  }

  /// dz [N,C] (overwritten) from dout; the weights' gradients are added. Scratch: dy [N,C], dqkv [N,3C], dlog_lambda
  /// of decay_size elements.
  void backward(const View<const S, 2>& dout, const View<const S, 2>& z, const AttentionTape<S>& tape,
                const TokenBatch& batch, const View<S, 2>& dy, const View<S, 2>& dqkv, S* dlog_lambda,
                const View<S, 2>& dz, Workspace& workspace, const Executor& executor) {
    proj.backward_weights(dout, tape.y, executor);
    proj.backward_input(dout, dy, executor);
    std::visit(
        [&](auto& core) {
          core.backward(tape.features.data(), tape.qkv.data(), tape.log_lambda, batch, tape.y.data(), tape.row_sum,
                        dy.data(), dqkv.data(), dlog_lambda, workspace, executor);
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
  }

  Linear<S> qkv, proj;

 private:
  Index width_ = 0, heads_ = 1;
  Core core_;
};

}  // namespace lion::nn
