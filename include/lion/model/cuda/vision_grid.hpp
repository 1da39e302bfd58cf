#pragma once
/// What a grid of patches needs on the GPU.

#include <array>
#include <span>
#include <utility>

#include "lion/model/vision_layout.hpp"

namespace lion::cuda {

/// Resampled positions [L,C], if there are any, and the orders over the tokens, uploaded to `Memory` of the device.
template <class A, class Memory>
class VisionGrid {
 public:
  VisionGrid() = default;
  /// Without `positions` orders alone.
  VisionGrid(const model::VisionConfig& config, const nn::PositionEmbedding<float>* positions, Index rows, Index cols) {
    const Index length = config.prefix() + rows * cols, count = positions ? length * config.embed_dim : 0;
    const auto lay_out = [&](Arena& arena) {
      model::GridOrders made(config.orders(), config.prefix(), rows, cols, arena);
      return std::pair(made, arena.take<A>(count));
    };
    Arena counting, resampling_size;
    lay_out(counting);
    memory_ = Memory(counting.used());
    lion::detail::AlignedBytes bytes = lion::detail::aligned_bytes(counting.used());
    Arena host(bytes.get());
    const auto [made, to] = lay_out(host);
    if (positions) {
      using OnGrid = typename nn::PositionEmbedding<float>::OnGrid;
      OnGrid(*positions, rows, cols, resampling_size);
      Workspace scratch;
      scratch.reserve(resampling_size.used() + kAlignment);
      Arena arena = scratch.arena();
      const float* values = OnGrid(*positions, rows, cols, arena).values(*positions);
      std::copy_n(values, count, to);
      positions_ = there(to, bytes.get());
    }
    for (const std::span<const Index> order : made.span()) {
      orders_[order_count_++] = {there(order.data(), bytes.get()), order.size()};
    }
    memory_.upload(bytes.get());
  }

  const A* positions() const { return positions_; }
  /// Of a grid that stays where it is.
  std::span<const std::span<const Index>> orders() const { return {orders_.data(), order_count_}; }

 private:
  /// Where in the device's memory something lies that the image on the host has at `at`.
  template <class X>
  const X* there(const X* at, const std::byte* host) const {
    return reinterpret_cast<const X*>(memory_.data() + (reinterpret_cast<const std::byte*>(at) - host));
  }

  Memory memory_;
  const A* positions_ = nullptr;
  std::array<std::span<const Index>, 2> orders_{};
  std::size_t order_count_ = 0;
};

}  // namespace lion::cuda
