#pragma once
/// Learned positions added to tokens, resampled where the grid is another than the one they were made for.

#include <optional>

#include "lion/nn/linear.hpp"
#include "lion/nn/resample.hpp"

namespace lion::nn {

/// Parameter `pos_embed` [1, prefix + side², C]. Prefix tokens keep their positions on any grid.
template <Real S>
class PositionEmbedding {
 public:
  PositionEmbedding() = default;
  PositionEmbedding(const std::string& name, Index side, Index width, Index prefix)
      : position(Parameter<S>::without_grad(name, {1, prefix + side * side, width}, false)),
        side_(side),
        width_(width),
        prefix_(prefix) {}

  void initialise(const PlacedRandom& random) { truncated_normal(position, 0.02, random); }

  /// Positions for one grid, in memory of the arena.
  class OnGrid {
   public:
    OnGrid(const PositionEmbedding& owner, Index rows, Index cols, Arena& arena)
        : own_(rows == owner.side_ && cols == owner.side_), length_(owner.prefix_ + rows * cols) {
      if (own_) return;
      resampling_.emplace(owner.side_, owner.side_, rows, cols, owner.width_, arena);
      values_ = arena.take<S>(length_ * owner.width_);
    }

    /// [L,C]; computed anew if the grid is not the parameter's own.
    const S* values(const PositionEmbedding& owner) const {
      const S* p = owner.position.value.data();
      if (own_) return p;
      const Index head = owner.prefix_ * owner.width_;
      std::copy_n(p, head, values_);
      resampling_->forward(p + head, values_ + head);
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
      Eigen::Map<Eigen::Array<S, -1, 1>>(grad, head) += Eigen::Map<const Eigen::Array<S, -1, 1>>(sum, head);
      resampling_->backward(sum + head, grad + head);
    }

   private:
    bool own_;
    Index length_;
    std::optional<GridResampling<S>> resampling_;
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
  Index side_ = 0, width_ = 0, prefix_ = 0;
};

}  // namespace lion::nn
