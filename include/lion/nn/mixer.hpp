#pragma once
/// What mixes the tokens of a block: attention, or a state space. The one place that knows them all.
///
/// A mixer M has, N = B·L tokens of width C,
///   types Buffers, Tape and Scratch, each laid out by (mixer, batch, arena): what inference needs inside one call,
///   what
///     a training step keeps, and what it needs inside one call;
///   Index width() const;   std::size_t workspace_size(batch, executor) const;   void set_form(form);
///   void forward(z, x, buffers, batch, workspace, executor) const;                  x += M(z); z may be overwritten
///   void forward_train(z, out, tape, scratch, batch, workspace, executor) const;    out = M(z)
///   void backward(dout, z, tape, scratch, dz, batch, workspace, executor);          dz overwritten, gradients added
///   void initialise(random);   void for_each_parameter(f);

#include <utility>
#include <variant>

#include "lion/nn/hydra_mixer.hpp"
#include "lion/nn/multi_head_attention.hpp"
#include "lion/nn/vim_mixer.hpp"

namespace lion::nn {

/// MultiHeadAttention as a mixer.
template <Real S>
class AttentionMixer : public MultiHeadAttention<S> {
 public:
  using MultiHeadAttention<S>::MultiHeadAttention;

  struct Buffers {
    S* wide;        ///< [N,3C]
    S* log_lambda;  ///< decay_size elements

    Buffers(const AttentionMixer& mixer, const TokenBatch& batch, Arena& arena)
        : wide(arena.take<S>(batch.tokens() * 3 * mixer.width())), log_lambda(arena.take<S>(mixer.decay_size(batch))) {}
  };

  using Tape = AttentionTape<S>;

  struct Scratch {
    View<S, 2> dy, dqkv;  ///< [N,C], [N,3C]
    S* dlog_lambda;       ///< decay_size elements

    Scratch(const AttentionMixer& mixer, const TokenBatch& batch, Arena& arena)
        : dy(take_matrix<S>(arena, batch.tokens(), mixer.width())),
          dqkv(take_matrix<S>(arena, batch.tokens(), 3 * mixer.width())),
          dlog_lambda(arena.take<S>(mixer.decay_size(batch))) {}
  };

  void forward(const View<S, 2>& z, const View<S, 2>& x, const Buffers& buffers, const TokenBatch& batch,
               Workspace& workspace, const Executor& executor) const {
    MultiHeadAttention<S>::forward(z, z, x, buffers.wide, buffers.log_lambda, batch, workspace, executor);
  }

  void forward_train(const View<const S, 2>& z, const View<S, 2>& out, const Tape& tape, const Scratch&,
                     const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    MultiHeadAttention<S>::forward_train(z, out, tape, batch, workspace, executor);
  }

  void backward(const View<const S, 2>& dout, const View<const S, 2>& z, const Tape& tape, const Scratch& scratch,
                const View<S, 2>& dz, const TokenBatch& batch, Workspace& workspace, const Executor& executor) {
    MultiHeadAttention<S>::backward(dout, z, tape, batch, scratch.dy, scratch.dqkv, scratch.dlog_lambda, dz, workspace,
                                    executor);
  }
};

/// Any of them. Its buffers are bytes at a multiple of kAlignment, which each mixer lays out for itself.
template <Real S>
class Mixer {
 public:
  using Any = std::variant<AttentionMixer<S>, HydraMixer<S>, VimMixer<S>>;

  Mixer() = default;
  template <class M>
    requires std::constructible_from<Any, M&&>
  Mixer(M&& mixer) : mixer_(std::forward<M>(mixer)) {}  // NOLINT: any of them is a mixer

  void initialise(const PlacedRandom& random) {
    std::visit([&](auto& mixer) { mixer.initialise(random); }, mixer_);
  }
  void set_form(const form::Any& form) {
    std::visit([&](auto& mixer) { mixer.set_form(form); }, mixer_);
  }
  Index width() const {
    return std::visit([](const auto& mixer) { return mixer.width(); }, mixer_);
  }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return std::visit([&](const auto& mixer) { return mixer.workspace_size(batch, executor); }, mixer_);
  }
  /// Bytes of `buffers`, `tape` and `scratch` below.
  std::size_t buffer_bytes(const TokenBatch& batch) const {
    return std::visit([&]<class M>(const M& mixer) { return bytes<typename M::Buffers>(mixer, batch); }, mixer_);
  }
  std::size_t tape_bytes(const TokenBatch& batch) const {
    return std::visit([&]<class M>(const M& mixer) { return bytes<typename M::Tape>(mixer, batch); }, mixer_);
  }
  std::size_t scratch_bytes(const TokenBatch& batch) const {
    return std::visit([&]<class M>(const M& mixer) { return bytes<typename M::Scratch>(mixer, batch); }, mixer_);
  }

  /// x += mixer(z). z [N,C] is overwritten.
  void forward(const View<S, 2>& z, const View<S, 2>& x, std::byte* buffers, const TokenBatch& batch,
               Workspace& workspace, const Executor& executor) const {
    std::visit(
        [&]<class M>(const M& mixer) {
          mixer.forward(z, x, laid_out<typename M::Buffers>(mixer, batch, buffers), batch, workspace, executor);
        },
        mixer_);
  }

  /// out = mixer(z), keeping on the tape what backward needs (beside z).
  void forward_train(const View<const S, 2>& z, const View<S, 2>& out, std::byte* tape, std::byte* scratch,
                     const TokenBatch& batch, Workspace& workspace, const Executor& executor) const {
    std::visit(
        [&]<class M>(const M& mixer) {
          mixer.forward_train(z, out, laid_out<typename M::Tape>(mixer, batch, tape),
                              laid_out<typename M::Scratch>(mixer, batch, scratch), batch, workspace, executor);
        },
        mixer_);
  }

  /// dz [N,C] (overwritten) from dout; the weights' gradients are added.
  void backward(const View<const S, 2>& dout, const View<const S, 2>& z, std::byte* tape, std::byte* scratch,
                const View<S, 2>& dz, const TokenBatch& batch, Workspace& workspace, const Executor& executor) {
    std::visit(
        [&]<class M>(M& mixer) {
          mixer.backward(dout, z, laid_out<typename M::Tape>(mixer, batch, tape),
                         laid_out<typename M::Scratch>(mixer, batch, scratch), dz, batch, workspace, executor);
        },
        mixer_);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    std::visit([&](auto& mixer) { mixer.for_each_parameter(f); }, mixer_);
  }

 private:
  template <class Layout, class M>
  static Layout laid_out(const M& mixer, const TokenBatch& batch, std::byte* memory) {
    Arena arena(memory);
    return Layout(mixer, batch, arena);
  }
  template <class Layout, class M>
  static std::size_t bytes(const M& mixer, const TokenBatch& batch) {
    Arena counting;
    Layout(mixer, batch, counting);
    return counting.used();
  }

  Any mixer_;
};

}  // namespace lion::nn
