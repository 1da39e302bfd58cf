#pragma once
/// A pre-norm transformer block: x += attention(norm1(x)), x += mlp(norm2(x)) (math.md §6).

#include "lion/nn/layer_norm.hpp"
#include "lion/nn/mlp.hpp"
#include "lion/nn/multi_head_attention.hpp"

namespace lion::nn {

/// Noise of a training step.
struct Noise {
  double dropout = 0;    ///< after the projections and the activation
  double drop_path = 0;  ///< of each of the two branches, per sample
  PlacedRandom random{0, 0};
};

/// Buffers that the blocks of a model share at inference, N = B·L tokens: five [N,C] with the model's x.
template <Real S>
struct BlockBuffers {
  View<S, 2> z;   ///< [N,C]
  S* wide;        ///< the larger of N·3C and Mlp::block(N)·M elements
  S* log_lambda;  ///< decay_size elements
};

/// What a block keeps of a training step.
template <Real S>
struct BlockTape {
  View<S, 2> x, statistics1;  ///< [N,C] the block's input, [N,2]
  AttentionTape<S> attention;
  View<S, 2> between, statistics2;  ///< [N,C] after the attention, [N,2]
  View<S, 2> preactivations;        ///< [N,M]

  template <class Block>
  BlockTape(const Block& block, const TokenBatch& batch, Arena& arena)
      : x(matrix(arena, batch, block.attn.width())),
        statistics1(matrix(arena, batch, 2)),
        attention(block.attn, batch, arena),
        between(matrix(arena, batch, block.attn.width())),
        statistics2(matrix(arena, batch, 2)),
        preactivations(matrix(arena, batch, block.mlp.hidden())) {}

  static View<S, 2> matrix(Arena& arena, const TokenBatch& batch, Index width) {
    return View<S, 2>(arena.take<S>(batch.tokens() * width), {batch.tokens(), width});
  }
};

/// Buffers that the blocks of a model share in training.
template <Real S>
struct TrainingBuffers {
  View<S, 2> z, branch;           ///< [N,C]
  View<S, 2> activated, dhidden;  ///< [N,M]
  View<S, 2> dbranch, dz, dy;     ///< [N,C]
  View<S, 2> dqkv;                ///< [N,3C]
  S *dlog_lambda, *norm;          ///< decay_size; LayerNorm::backward_scratch

  template <class Block>
  TrainingBuffers(const Block& block, const TokenBatch& batch, Arena& arena)
      : z(BlockTape<S>::matrix(arena, batch, block.attn.width())),
        branch(BlockTape<S>::matrix(arena, batch, block.attn.width())),
        activated(BlockTape<S>::matrix(arena, batch, block.mlp.hidden())),
        dhidden(BlockTape<S>::matrix(arena, batch, block.mlp.hidden())),
        dbranch(BlockTape<S>::matrix(arena, batch, block.attn.width())),
        dz(BlockTape<S>::matrix(arena, batch, block.attn.width())),
        dy(BlockTape<S>::matrix(arena, batch, block.attn.width())),
        dqkv(BlockTape<S>::matrix(arena, batch, 3 * block.attn.width())),
        dlog_lambda(arena.take<S>(block.attn.decay_size(batch))),
        norm(arena.take<S>(block.norm1.backward_scratch(batch.tokens()))) {}
};

template <Real S>
class Block {
 public:
  Block() = default;
  Block(const std::string& name, Index width, Index heads, Index hidden, std::string_view mask, Index prefix,
        Index orders)
      : norm1(name + ".norm1", width),
        attn(name + ".attn", width, heads, mask, prefix, orders),
        norm2(name + ".norm2", width),
        mlp(name + ".mlp", width, hidden) {}

  void initialise(const PlacedRandom& random) {
    attn.initialise(random.stream(1));
    mlp.initialise(random.stream(2));
  }

  /// x [N,C] in place.
  void forward(const View<S, 2>& x, const BlockBuffers<S>& buffers, const TokenBatch& batch, Workspace& workspace,
               const Executor& executor) const {
    norm1.forward(x, buffers.z, executor);
    attn.forward(buffers.z, buffers.z, x, buffers.wide, buffers.log_lambda, batch, workspace, executor);
    norm2.forward(x, buffers.z, executor);
    mlp.forward(buffers.z, x, x, buffers.wide, executor);
  }

  /// out [N,C] from tape.x, which the caller has filled.
  void forward_train(const View<S, 2>& out, const BlockTape<S>& tape, const TrainingBuffers<S>& buffers,
                     const TokenBatch& batch, const Noise& noise, Workspace& workspace,
                     const Executor& executor) const {
    norm1.forward(tape.x, buffers.z, executor, tape.statistics1);
    attn.forward_train(buffers.z, buffers.branch, tape.attention, batch, workspace, executor);
    disturb(buffers.branch, batch, noise, 0, executor);
    sum(tape.x, buffers.branch, tape.between, executor);
    norm2.forward(tape.between, buffers.z, executor, tape.statistics2);
    mlp.forward_train(buffers.z, buffers.branch, tape.preactivations, buffers.activated, noise.dropout,
                      noise.random.stream(4), executor);
    disturb(buffers.branch, batch, noise, 2, executor);
    sum(tape.between, buffers.branch, out, executor);
  }

  /// dx [N,C], the gradient of the output, becomes that of the input; the weights' gradients are added. Overwrites the
  /// tape's pre-activations: once per forward_train.
  void backward(const View<S, 2>& dx, const BlockTape<S>& tape, const TrainingBuffers<S>& buffers,
                const TokenBatch& batch, const Noise& noise, Workspace& workspace, const Executor& executor) {
    norm2.forward(tape.between, buffers.z, executor);
    mlp.backward(branch_gradient(dx, buffers, batch, noise, 2, executor), buffers.z, tape.preactivations,
                 buffers.activated, buffers.dhidden, buffers.dz, noise.dropout, noise.random.stream(4), executor);
    norm2.backward(buffers.dz, tape.between, tape.statistics2, dx, buffers.norm, executor);
    norm1.forward(tape.x, buffers.z, executor);
    attn.backward(branch_gradient(dx, buffers, batch, noise, 0, executor), buffers.z, tape.attention, batch, buffers.dy,
                  buffers.dqkv, buffers.dlog_lambda, buffers.dz, workspace, executor);
    norm1.backward(buffers.dz, tape.x, tape.statistics1, dx, buffers.norm, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    norm1.for_each_parameter(f);
    attn.for_each_parameter(f);
    norm2.for_each_parameter(f);
    mlp.for_each_parameter(f);
  }

  LayerNorm<S> norm1;
  MultiHeadAttention<S> attn;
  LayerNorm<S> norm2;
  Mlp<S> mlp;

 private:
  /// Dropout and drop-path of a branch, or of its gradient: the same draws.
  static void disturb(const View<S, 2>& branch, const TokenBatch& batch, const Noise& noise, std::uint64_t stream,
                      const Executor& executor) {
    dropout(branch, noise.dropout, noise.random.stream(stream), executor);
    drop_path(branch, batch.length, noise.drop_path, noise.random.stream(stream + 1), executor);
  }

  /// dx itself where there is no noise, else a disturbed copy.
  static View<const S, 2> branch_gradient(const View<S, 2>& dx, const TrainingBuffers<S>& buffers,
                                          const TokenBatch& batch, const Noise& noise, std::uint64_t stream,
                                          const Executor& executor) {
    if (noise.dropout <= 0 && noise.drop_path <= 0) return dx;
    detail::for_each_block(dx.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      detail::map(buffers.dbranch, first, n, 0, dx.extent(1)) = detail::map(dx, first, n, 0, dx.extent(1));
    });
    disturb(buffers.dbranch, batch, noise, stream, executor);
    return buffers.dbranch;
  }

  static void sum(const View<const S, 2>& x, const View<const S, 2>& branch, const View<S, 2>& out,
                  const Executor& executor) {
    const Index width = out.extent(1);
    detail::for_each_block(out.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      detail::map(out, first, n, 0, width) =
          detail::map(x, first, n, 0, width) + detail::map(branch, first, n, 0, width);
    });
  }
};

}  // namespace lion::nn
