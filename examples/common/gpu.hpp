#pragma once
/// Tensors to a GPU and back. Compiles under nvcc only.

#include <memory>
#include <string>

#include "lion/core/workspace.hpp"
#include "lion/cuda/memory.hpp"

namespace lion::examples {

/// A dense tensor in memory of the GPU.
template <class T, std::size_t Rank>
class OnGpu {
 public:
  explicit OnGpu(const Shape<Rank>& shape)
      : shape_(shape), memory_(sizeof(T) * static_cast<std::size_t>(count(shape))) {}
  /// With these values, each converted to T: `values` are as many as the shape has.
  template <class S>
  OnGpu(const S* values, const Shape<Rank>& shape) : OnGpu(shape) {
    const auto host = std::make_unique<T[]>(static_cast<std::size_t>(count(shape)));
    for (Index i = 0; i < count(shape); ++i) host[static_cast<std::size_t>(i)] = static_cast<T>(values[i]);
    memory_.upload(host.get());
  }

  View<T, Rank> view() const { return {reinterpret_cast<T*>(memory_.data()), shape_}; }
  View<const T, Rank> seen() const { return view(); }

  /// Waits for the GPU.
  template <class S>
  void download(S* values) const {
    const auto host = std::make_unique<T[]>(static_cast<std::size_t>(count(shape_)));
    memory_.download(host.get());
    for (Index i = 0; i < count(shape_); ++i) values[i] = static_cast<S>(host[static_cast<std::size_t>(i)]);
  }

 private:
  Shape<Rank> shape_;
  cuda::Memory memory_;
};

}  // namespace lion::examples
