#pragma once
/// Blocks of one kind, one after another.
///
/// A kind of block has
///   Buffers(block, batch, arena), TrainingBuffers(block, batch, arena), Tape(block, batch, arena) with a member x;
///   void forward(x, buffers, batch, workspace, executor) const;                                  in place
///   void forward_train(out, tape, buffers, batch, dropout, random, workspace, executor) const;   from tape.x
///   void backward(dx, tape, buffers, batch, dropout, random, workspace, executor);               in place
///   std::size_t workspace_size(batch, executor) const;
///   void initialise(random), set_form(form), for_each_parameter(f);
/// as nn/post_norm_block.hpp. A model that knows several kinds holds a variant of their stacks.

#include <optional>
#include <vector>

#include "lion/core/executor.hpp"
#include "lion/core/workspace.hpp"
#include "lion/nn/random.hpp"
#include "lion/nn/token_batch.hpp"
#include "lion/visit.hpp"

namespace lion::model {

template <Real S, class Block>
class BlockStack {
 public:
  using Buffers = typename Block::Buffers;

  BlockStack() = default;
  explicit BlockStack(std::vector<Block> blocks) : blocks_(std::move(blocks)) {}

  const Block& front() const { return blocks_.front(); }

  void initialise(const nn::PlacedRandom& random) {
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i].initialise(random.stream(i));
  }
  void set_form(const form::Any& form) {
    for (Block& block : blocks_) block.set_form(form);
  }

  /// x [N,C] in place.
  void forward(const View<S, 2>& x, const Buffers& buffers, const nn::TokenBatch& batch, Workspace& workspace,
               const Executor& executor) const {
    for (const Block& block : blocks_) block.forward(x, buffers, batch, workspace, executor);
  }

  /// What a training step keeps, and its buffers.
  struct Tape {
    std::vector<typename Block::Tape> blocks;
    typename Block::TrainingBuffers buffers;

    Tape(const BlockStack& stack, const nn::TokenBatch& batch, Arena& arena) : buffers(stack.front(), batch, arena) {
      for (const Block& block : stack.blocks_) blocks.emplace_back(block, batch, arena);
    }
  };

  /// Lays the tape of the next step out in the arena.
  void record(const nn::TokenBatch& batch, Arena& arena) { tape_.emplace(*this, batch, arena); }

  /// What goes into the first block [N,C], on the tape: for the caller to fill.
  const View<S, 2>& first() const { return tape_->blocks.front().x; }

  /// out [N,C] from first(), with dropout at rate p.
  void forward_train(const View<S, 2>& out, const nn::TokenBatch& batch, double p, const nn::PlacedRandom& random,
                     Workspace& workspace, const Executor& executor) const {
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const View<S, 2>& to = i + 1 < blocks_.size() ? tape_->blocks[i + 1].x : out;
      blocks_[i].forward_train(to, tape_->blocks[i], tape_->buffers, batch, p, random.stream(i), workspace, executor);
    }
  }

  /// dx [N,C], the gradient of the output, becomes that of first(); the weights' gradients are added.
  void backward(const View<S, 2>& dx, const nn::TokenBatch& batch, double p, const nn::PlacedRandom& random,
                Workspace& workspace, const Executor& executor) {
    for (std::size_t i = blocks_.size(); i-- > 0;) {
      blocks_[i].backward(dx, tape_->blocks[i], tape_->buffers, batch, p, random.stream(i), workspace, executor);
    }
  }

  template <class F>
  void for_each_parameter(F&& f) {
    for (Block& block : blocks_) block.for_each_parameter(f);
  }

 private:
  std::vector<Block> blocks_;
  std::optional<Tape> tape_;
};

}  // namespace lion::model
