#pragma once
/// Memory of a stack of blocks in training on the GPU.

#include <vector>

#include "lion/core/workspace.hpp"
#include "lion/nn/token_batch.hpp"

namespace lion::cuda {

/// The tape of each block, in one piece of memory.
template <class Block, class BlockTape>
class BlockTapes {
 public:
  BlockTapes(const std::vector<Block>& blocks, const nn::TokenBatch& batch, Arena& arena)
      : blocks_(&blocks), batch_(batch), bytes_(bytes_of(blocks.front(), batch)) {
    data_ = arena.take<std::byte>(static_cast<Index>(bytes_ * blocks.size()));
  }

  /// Laid out anew whenever it is asked for, so that a step allocates nothing.
  BlockTape operator[](std::size_t i) const {
    Arena arena(data_ + i * bytes_);
    return BlockTape((*blocks_)[i], batch_, arena);
  }

 private:
  static std::size_t bytes_of(const Block& block, const nn::TokenBatch& batch) {
    Arena counting;
    BlockTape(block, batch, counting);
    return aligned(counting.used());
  }

  const std::vector<Block>* blocks_;
  nn::TokenBatch batch_;
  std::size_t bytes_;  ///< of one: all blocks have the same
  std::byte* data_;
};

}  // namespace lion::cuda
