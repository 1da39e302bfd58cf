#pragma once
/// A pre-norm block: x += mixer(norm1(x)), then, where there is an MLP, x += mlp(norm2(x)) (math.md §6, §9).

#include <optional>

#include "lion/nn/mixer.hpp"
#include "lion/nn/mlp.hpp"
#include "lion/nn/norm.hpp"

namespace lion::nn {

/// Noise of a training step.
struct Noise {
  double dropout = 0;    ///< after the projections and the activation
  double drop_path = 0;  ///< of each of the two branches, per sample
  PlacedRandom random{0, 0};
};

/// Buffers that the blocks of a model share at inference, N = B·L tokens.
template <Real S>
struct BlockBuffers {
  View<S, 2> z;       ///< [N,C]
  std::byte* memory;  ///< buffer_bytes, at a multiple of kAlignment
};

/// What a block keeps of a training step.
template <Real S>
struct BlockTape {
  View<S, 2> x, statistics1;  ///< [N,C] the block's input, [N,2]
  std::byte* mixer;
  View<S, 2> between, statistics2;  ///< [N,C] after the mixer, [N,2]; these and the next only where there is an MLP
  View<S, 2> preactivations;        ///< [N,M]

  template <class Block>
  BlockTape(const Block& block, const TokenBatch& batch, Arena& arena)
      : x(take_matrix<S>(arena, batch.tokens(), block.width())),
        statistics1(take_matrix<S>(arena, batch.tokens(), 2)),
        mixer(arena.take<std::byte>(static_cast<Index>(block.mixer.tape_bytes(batch)))) {
    if (!block.mlp) return;
    between = take_matrix<S>(arena, batch.tokens(), block.width());
    statistics2 = take_matrix<S>(arena, batch.tokens(), 2);
    preactivations = take_matrix<S>(arena, batch.tokens(), block.mlp->hidden());
  }
};

/// Buffers that the blocks of a model share in training.
template <Real S>
struct TrainingBuffers {
  View<S, 2> z, branch;           ///< [N,C]
  View<S, 2> activated, dhidden;  ///< [N,M], where there is an MLP
  View<S, 2> dbranch, dz;         ///< [N,C]
  std::byte* mixer;
  S* norm;  ///< Norm::backward_scratch

  template <class Block>
  TrainingBuffers(const Block& block, const TokenBatch& batch, Arena& arena)
      : z(take_matrix<S>(arena, batch.tokens(), block.width())),
        branch(take_matrix<S>(arena, batch.tokens(), block.width())),
        activated(take_matrix<S>(arena, batch.tokens(), block.mlp ? block.mlp->hidden() : 0)),
        dhidden(take_matrix<S>(arena, batch.tokens(), block.mlp ? block.mlp->hidden() : 0)),
        dbranch(take_matrix<S>(arena, batch.tokens(), block.width())),
        dz(take_matrix<S>(arena, batch.tokens(), block.width())),
        mixer(arena.take<std::byte>(static_cast<Index>(block.mixer.scratch_bytes(batch)))),
        norm(arena.take<S>(block.norm1.backward_scratch(batch.tokens()))) {}
};

template <Real S>
class Block {
 public:
  Block() = default;
  /// A mixer alone, or with an MLP after it.
  Block(Norm<S> before, Mixer<S> mixes) : norm1(std::move(before)), mixer(std::move(mixes)) {}
  Block(Norm<S> before, Mixer<S> mixes, Norm<S> between, Mlp<S> then)
      : norm1(std::move(before)), mixer(std::move(mixes)), norm2(std::move(between)), mlp(std::move(then)) {}

  /// The block of a transformer, norm1, mixer, norm2, mlp, under timm's names.
  static Block transformer(const std::string& name, Index width, Index hidden, Mixer<S> mixes) {
    return Block(LayerNorm<S>(name + ".norm1", width), std::move(mixes), LayerNorm<S>(name + ".norm2", width),
                 Mlp<S>(name + ".mlp", width, hidden));
  }

  void initialise(const PlacedRandom& random) {
    mixer.initialise(random.stream(1));
    if (mlp) mlp->initialise(random.stream(2));
  }

  Index width() const { return mixer.width(); }

  /// Bytes of BlockBuffers::memory.
  std::size_t buffer_bytes(const TokenBatch& batch) const {
    const std::size_t of_mixer = mixer.buffer_bytes(batch);
    if (!mlp) return of_mixer;
    return (std::max)(of_mixer, sizeof(S) * static_cast<std::size_t>(mlp->scratch_size(batch.tokens())));
  }

  /// x [N,C] in place.
  void forward(const View<S, 2>& x, const BlockBuffers<S>& buffers, const TokenBatch& batch, Workspace& workspace,
               const Executor& executor) const {
    norm1.forward(x, buffers.z, executor);
    mixer.forward(buffers.z, x, buffers.memory, batch, workspace, executor);
    if (!mlp) return;
    norm2.forward(x, buffers.z, executor);
    mlp->forward(buffers.z, x, x, reinterpret_cast<S*>(buffers.memory), executor);
  }

  /// out [N,C] from tape.x, which the caller has filled.
  void forward_train(const View<S, 2>& out, const BlockTape<S>& tape, const TrainingBuffers<S>& buffers,
                     const TokenBatch& batch, const Noise& noise, Workspace& workspace,
                     const Executor& executor) const {
    norm1.forward(tape.x, buffers.z, executor, tape.statistics1);
    mixer.forward_train(buffers.z, buffers.branch, tape.mixer, buffers.mixer, batch, workspace, executor);
    disturb(buffers.branch, batch, noise, 0, executor);
    sum(tape.x, buffers.branch, mlp ? tape.between : out, executor);
    if (!mlp) return;
    norm2.forward(tape.between, buffers.z, executor, tape.statistics2);
    mlp->forward_train(buffers.z, buffers.branch, tape.preactivations, buffers.activated, noise.dropout,
                       noise.random.stream(4), executor);
    disturb(buffers.branch, batch, noise, 2, executor);
    sum(tape.between, buffers.branch, out, executor);
  }

  /// dx [N,C], the gradient of the output, becomes that of the input; the weights' gradients are added. Overwrites the
  /// tape's pre-activations: once per forward_train.
  void backward(const View<S, 2>& dx, const BlockTape<S>& tape, const TrainingBuffers<S>& buffers,
                const TokenBatch& batch, const Noise& noise, Workspace& workspace, const Executor& executor) {
    if (mlp) {
      norm2.forward(tape.between, buffers.z, executor);
      mlp->backward(branch_gradient(dx, buffers, batch, noise, 2, executor), buffers.z, tape.preactivations,
                    buffers.activated, buffers.dhidden, buffers.dz, noise.dropout, noise.random.stream(4), executor);
      norm2.backward(buffers.dz, tape.between, tape.statistics2, dx, buffers.norm, executor);
    }
    norm1.forward(tape.x, buffers.z, executor);
    mixer.backward(branch_gradient(dx, buffers, batch, noise, 0, executor), buffers.z, tape.mixer, buffers.mixer,
                   buffers.dz, batch, workspace, executor);
    norm1.backward(buffers.dz, tape.x, tape.statistics1, dx, buffers.norm, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    norm1.for_each_parameter(f);
    mixer.for_each_parameter(f);
    if (!mlp) return;
    norm2.for_each_parameter(f);
    mlp->for_each_parameter(f);
  }

  Norm<S> norm1;
  Mixer<S> mixer;
  Norm<S> norm2;
  std::optional<Mlp<S>> mlp;

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
