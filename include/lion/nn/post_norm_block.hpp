#pragma once
/// A post-norm transformer block: x = norm1(x + attention(x)), x = norm2(x + mlp(x)) (math.md §7).

#include "lion/nn/elementwise.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/mlp.hpp"
#include "lion/nn/multi_head_attention.hpp"

namespace lion::nn {

/// Under the names of a Hugging Face BERT state dict. Tokens [N,C], N = B·L; M is the hidden width of the MLP.
template <Real S>
class PostNormBlock {
 public:
  PostNormBlock() = default;
  /// `mask` is softmax, linear, decay or selective; `norm_after`: a LayerNorm between the attention and its output
  /// projection; `epsilon` of the two others.
  PostNormBlock(const std::string& name, Index width, Index heads, Index hidden, std::string_view mask, bool norm_after,
                double epsilon)
      : attn(name + ".attention", width, heads, mask, 0, 1, norm_after),
        norm1(name + ".attention.output.LayerNorm", width, epsilon),
        mlp(name + ".intermediate.dense", name + ".output.dense", width, hidden),
        norm2(name + ".output.LayerNorm", width, epsilon) {}

  void initialise(const PlacedRandom& random) {
    attn.initialise(random.stream(1));
    mlp.initialise(random.stream(2));
  }

  void set_form(const form::Any& form) { attn.set_form(form); }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return attn.workspace_size(batch, executor);
  }

  /// Memory that the blocks of a model share at inference, enough for any batch of at most as many tokens.
  struct Buffers {
    S* y;           ///< [N,C]
    S* wide;        ///< the larger of N·3C and Mlp::scratch_size(N) elements
    S* log_lambda;  ///< decay_size elements

    Buffers(const PostNormBlock& block, const TokenBatch& batch, Arena& arena)
        : y(arena.take<S>(batch.tokens() * block.attn.width())),
          wide(arena.take<S>(
              (std::max)(batch.tokens() * 3 * block.attn.width(), block.mlp.scratch_size(batch.tokens())))),
          log_lambda(arena.take<S>(block.attn.decay_size(batch))) {}
  };

  /// x [N,C] in place.
  void forward(const View<S, 2>& x, const Buffers& buffers, const TokenBatch& batch, Workspace& workspace,
               const Executor& executor) const {
    attn.forward(x, View<S, 2>(buffers.y, x.shape()), x, buffers.wide, buffers.log_lambda, batch, workspace, executor);
    norm1.forward(x, x, executor);
    mlp.forward(x, x, x, buffers.wide, executor);
    norm2.forward(x, x, executor);
  }

  /// What a block keeps of a training step.
  struct Tape {
    View<S, 2> x;  ///< [N,C] the block's input, which the caller fills
    AttentionTape<S> attention;
    View<S, 2> sum1, statistics1;  ///< [N,C] before norm1, [N,2]
    View<S, 2> preactivations;     ///< [N,M]
    View<S, 2> sum2, statistics2;  ///< [N,C] before norm2, [N,2]

    Tape(const PostNormBlock& block, const TokenBatch& batch, Arena& arena)
        : x(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          attention(block.attn, batch, arena),
          sum1(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          statistics1(take_matrix<S>(arena, batch.tokens(), 2)),
          preactivations(take_matrix<S>(arena, batch.tokens(), block.mlp.hidden())),
          sum2(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          statistics2(take_matrix<S>(arena, batch.tokens(), 2)) {}
  };

  /// Memory that the blocks of a model share in training.
  struct TrainingBuffers {
    View<S, 2> between;             ///< [N,C] after norm1
    View<S, 2> activated, dhidden;  ///< [N,M]
    View<S, 2> dsum, dbranch, dy;   ///< [N,C]
    View<S, 2> dqkv;                ///< [N,3C]
    S *dlog_lambda, *norm;          ///< decay_size; LayerNorm::backward_scratch

    TrainingBuffers(const PostNormBlock& block, const TokenBatch& batch, Arena& arena)
        : between(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          activated(take_matrix<S>(arena, batch.tokens(), block.mlp.hidden())),
          dhidden(take_matrix<S>(arena, batch.tokens(), block.mlp.hidden())),
          dsum(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          dbranch(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          dy(take_matrix<S>(arena, batch.tokens(), block.attn.width())),
          dqkv(take_matrix<S>(arena, batch.tokens(), 3 * block.attn.width())),
          dlog_lambda(arena.take<S>(block.attn.decay_size(batch))),
          norm(arena.take<S>(block.norm1.backward_scratch(batch.tokens()))) {}
  };

  /// out [N,C] from tape.x, with dropout at rate p of both branches.
  void forward_train(const View<S, 2>& out, const Tape& tape, const TrainingBuffers& buffers, const TokenBatch& batch,
                     double p, const PlacedRandom& random, Workspace& workspace, const Executor& executor) const {
    attn.forward_train(tape.x, tape.sum1, tape.attention, batch, workspace, executor);
    dropout(tape.sum1, p, random.stream(0), executor);
    add<S>(tape.x, tape.sum1, tape.sum1, executor);
    norm1.forward(tape.sum1, buffers.between, executor, tape.statistics1);
    mlp.forward_train(buffers.between, tape.sum2, tape.preactivations, buffers.activated, 0, random, executor);
    dropout(tape.sum2, p, random.stream(1), executor);
    add<S>(buffers.between, tape.sum2, tape.sum2, executor);
    norm2.forward(tape.sum2, out, executor, tape.statistics2);
  }

  /// dx [N,C], the gradient of the output, becomes that of the input; the weights' gradients are added. Overwrites the
  /// tape's pre-activations: once per forward_train.
  void backward(const View<S, 2>& dx, const Tape& tape, const TrainingBuffers& buffers, const TokenBatch& batch,
                double p, const PlacedRandom& random, Workspace& workspace, const Executor& executor) {
    norm2.backward(dx, tape.sum2, tape.statistics2, buffers.dsum, buffers.norm, executor, false);
    norm1.forward(tape.sum1, buffers.between, executor);
    mlp.backward(branch_gradient(buffers, p, random.stream(1), executor), buffers.between, tape.preactivations,
                 buffers.activated, buffers.dhidden, dx, 0, random, executor);
    add<S>(dx, buffers.dsum, dx, executor);
    norm1.backward(dx, tape.sum1, tape.statistics1, buffers.dsum, buffers.norm, executor, false);
    attn.backward(branch_gradient(buffers, p, random.stream(0), executor), tape.x, tape.attention, batch, buffers.dy,
                  buffers.dqkv, buffers.dlog_lambda, dx, workspace, executor, buffers.norm);
    add<S>(dx, buffers.dsum, dx, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    attn.for_each_parameter(f);
    norm1.for_each_parameter(f);
    mlp.for_each_parameter(f);
    norm2.for_each_parameter(f);
  }

  MultiHeadAttention<S, TextAttention> attn;
  LayerNorm<S> norm1;
  Mlp<S> mlp;
  LayerNorm<S> norm2;

 private:
  /// The gradient of a branch from that of its sum: the sum's own, or a copy with the dropout of the branch.
  static View<const S, 2> branch_gradient(const TrainingBuffers& buffers, double p, const PlacedRandom& random,
                                          const Executor& executor) {
    if (p <= 0) return buffers.dsum;
    copy<S>(buffers.dsum, buffers.dbranch, executor);
    dropout(buffers.dbranch, p, random, executor);
    return buffers.dbranch;
  }
};

}  // namespace lion::nn
