#pragma once
/// Learned positions added to tokens, resampled where the grid is another than the one they were made for.

#include <optional>

#include "lion/nn/patch_embedding.hpp"
#include "lion/nn/resample.hpp"

namespace lion::nn {

/// Parameter `pos_embed` [1, prefix + side², C], in the order of the tokens. Prefix tokens keep their positions on any
/// grid.
template <Real S>
class PositionEmbedding {
 public:
  PositionEmbedding() = default;
  PositionEmbedding(const std::string& name, Index side, Index width, Index prefix,
                    PrefixPlace place = PrefixPlace::front)
      : position(Parameter<S>::without_grad(name, {1, prefix + side * side, width}, false)),
        side_(side),
        width_(width),
        prefix_(prefix),
        place_(place) {}

  void initialise(const PlacedRandom& random) { truncated_normal(position, 0.02, random); }

  /// Positions for one grid, in memory of the arena.
  class OnGrid {
   public:
    OnGrid(const PositionEmbedding& owner, Index rows, Index cols, Arena& arena)
        : own_(rows == owner.side_ && cols == owner.side_),
          length_(owner.prefix_ + rows * cols),
          from_(owner.prefix_begin(owner.side_ * owner.side_)),
          to_(owner.prefix_begin(rows * cols)) {
      if (own_) return;
      grid_ = arena.take<S>(owner.side_ * owner.side_ * owner.width_);
      resampling_.emplace(owner.side_, owner.side_, rows, cols, owner.width_, arena);
      values_ = arena.take<S>(length_ * owner.width_);
    }

    /// [L,C]; computed anew if the grid is not the parameter's own.
    const S* values(const PositionEmbedding& owner) const {
      const S* p = owner.position.value.data();
      if (own_) return p;
      const Index width = owner.width_, head = owner.prefix_ * width;
      const Index points = owner.side_ * owner.side_ * width;
      std::copy_n(p, from_ * width, grid_);
      std::copy_n(p + from_ * width + head, points - from_ * width, grid_ + from_ * width);
      resampling_->forward(grid_, values_ + head);
      std::copy_n(values_ + head, to_ * width, values_);  // what stands before the prefix moves there
      std::copy_n(p + from_ * width, head, values_ + to_ * width);
      return values_;
    }

    /// Adds to the parameter's gradient the sum over the batch of dtokens [B·L,C].
    void backward(PositionEmbedding& owner, const View<const S, 2>& dtokens, const Executor& executor) const {
      const Index width = owner.width_, head = owner.prefix_ * width;
      S* grad = owner.position.grad.data();
      S* sum = own_ ? grad : values_;
      if (!own_) std::fill_n(sum, length_ * width, S(0));
      detail::for_each_block(length_, 16, executor, [&](Index first, Index n) {
        for (Index row = first; row < dtokens.extent(0); row += length_) {
          cpu::matrix(sum + first * width, n, width) += detail::map(dtokens, row, n, 0, width);
        }
      });
      if (own_) return;
      using Values = Eigen::Map<Eigen::Array<S, -1, 1>>;
      const Index points = owner.side_ * owner.side_ * width, before = from_ * width;
      Values(grad + before, head) += Values(sum + to_ * width, head);
      std::copy_backward(sum, sum + to_ * width, sum + to_ * width + head);
      Values(grid_, points).setZero();
      resampling_->backward(sum + head, grid_);
      Values(grad, before) += Values(grid_, before);
      Values(grad + before + head, points - before) += Values(grid_ + before, points - before);
    }

   private:
    bool own_;
    Index length_, from_, to_;  // tokens of a sample; rows before the prefix, of the parameter and on the grid
    std::optional<GridResampling<S>> resampling_;
    S* grid_ = nullptr;    // [side²,C]
    S* values_ = nullptr;  // [L,C]
  };

  /// tokens [B·L,C] += positions [L,C], of every sample.
  static void add(const S* positions, Index length, const View<S, 2>& tokens, const Executor& executor) {
    detail::for_each_block(tokens.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      const Index width = tokens.extent(1);
      for (Index t = first; t < first + n; ++t) {
        Eigen::Map<Eigen::Array<S, -1, 1>>(tokens.at(t), width) +=
            Eigen::Map<const Eigen::Array<S, -1, 1>>(positions + t % length * width, width);
      }
    });
  }

  template <class F>
  void for_each_parameter(F&& f) {
    f(position);
  }

  Parameter<S> position;  ///< [1, prefix + side², C]

 private:
  Index prefix_begin(Index points) const { return nn::prefix_begin(place_, points); }

  Index side_ = 0, width_ = 0, prefix_ = 0;
  PrefixPlace place_ = PrefixPlace::front;
};

}  // namespace lion::nn
