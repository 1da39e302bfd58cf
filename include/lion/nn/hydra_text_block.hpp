#pragma once
/// A block of Hydra for text: x = norm(x + mixer(x)) (math.md §9).

#include <algorithm>

#include "lion/nn/dropout.hpp"
#include "lion/nn/elementwise.hpp"
#include "lion/nn/hydra_mixer.hpp"
#include "lion/nn/layer_norm.hpp"

namespace lion::nn {

/// Parameters `name`.layer.mixer.* and `name`.layer.norm.*; tokens [N,C], N = B·L. The interface is that of
/// nn/post_norm_block.hpp.
template <Real S>
class HydraTextBlock {
 public:
  HydraTextBlock() = default;
  HydraTextBlock(const std::string& name, Index width, Index state, Index head)
      : mixer(name + ".layer.mixer", width, state, head), norm(name + ".layer.norm", width, 1e-5) {}

  void initialise(const PlacedRandom& random) { mixer.initialise(random); }
  void set_form(const form::Any& form) { mixer.set_form(form); }

  /// Bytes of `workspace` in forward.
  std::size_t workspace_size(const TokenBatch& batch, const Executor& executor) const {
    return mixer.workspace_size(batch, executor);
  }

  /// Memory that the blocks of a model share at inference, enough for any batch of at most as many tokens.
  struct Buffers {
    std::byte* memory;

    Buffers(const HydraTextBlock& block, const TokenBatch& batch, Arena& arena) {
      Arena counting;
      HydraBuffers<S>(block.mixer, batch, counting);
      memory = arena.take<std::byte>(static_cast<Index>(counting.used()));
    }
  };

  /// x [N,C] in place.
  void forward(const View<S, 2>& x, const Buffers& buffers, const TokenBatch& batch, Workspace& workspace,
               const Executor& executor) const {
    Arena arena(buffers.memory);
    mixer.forward(x, x, HydraBuffers<S>(mixer, batch, arena), batch, workspace, executor);
    norm.forward(x, x, executor);
  }

  /// What a block keeps of a training step.
  struct Tape {
    View<S, 2> x;  ///< [N,C] the block's input, which the caller fills
    HydraTape<S> mixer;
    View<S, 2> sum, statistics;  ///< [N,C] before the norm, [N,2]

    Tape(const HydraTextBlock& block, const TokenBatch& batch, Arena& arena)
        : x(take_matrix<S>(arena, batch.tokens(), block.mixer.width())),
          mixer(block.mixer, batch, arena),
          sum(take_matrix<S>(arena, batch.tokens(), block.mixer.width())),
          statistics(take_matrix<S>(arena, batch.tokens(), 2)) {}
  };

  /// Memory that the blocks of a model share in training.
  struct TrainingBuffers {
    HydraScratch<S> mixer;
    View<S, 2> dsum, dbranch;  ///< [N,C]
    S* norm;                   ///< LayerNorm::backward_scratch

    TrainingBuffers(const HydraTextBlock& block, const TokenBatch& batch, Arena& arena)
        : mixer(block.mixer, batch, arena),
          dsum(take_matrix<S>(arena, batch.tokens(), block.mixer.width())),
          dbranch(take_matrix<S>(arena, batch.tokens(), block.mixer.width())),
          norm(arena.take<S>(block.norm.backward_scratch(batch.tokens()))) {}
  };

  /// out [N,C] from tape.x, with dropout at rate p of the mixer's branch.
  void forward_train(const View<S, 2>& out, const Tape& tape, const TrainingBuffers& buffers, const TokenBatch& batch,
                     double p, const PlacedRandom& random, Workspace& workspace, const Executor& executor) const {
    mixer.forward_train(tape.x, tape.sum, tape.mixer, buffers.mixer, batch, workspace, executor);
    dropout(tape.sum, p, random, executor);
    add<S>(tape.x, tape.sum, tape.sum, executor);
    norm.forward(tape.sum, out, executor, tape.statistics);
  }

  /// dx [N,C], the gradient of the output, becomes that of the input; the weights' gradients are added.
  void backward(const View<S, 2>& dx, const Tape& tape, const TrainingBuffers& buffers, const TokenBatch& batch,
                double p, const PlacedRandom& random, Workspace& workspace, const Executor& executor) {
    norm.backward(dx, tape.sum, tape.statistics, buffers.dsum, buffers.norm, executor, false);
    copy<S>(buffers.dsum, buffers.dbranch, executor);
    dropout(buffers.dbranch, p, random, executor);
    mixer.backward(buffers.dbranch, tape.x, tape.mixer, buffers.mixer, dx, batch, workspace, executor);
    add<S>(dx, buffers.dsum, dx, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    mixer.for_each_parameter(f);
    norm.for_each_parameter(f);
  }

  HydraMixer<S> mixer;
  LayerNorm<S> norm;
};

}  // namespace lion::nn
