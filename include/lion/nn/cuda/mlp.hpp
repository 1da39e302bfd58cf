#pragma once
/// nn::Mlp on the GPU.

#include "lion/nn/cuda/activation.hpp"
#include "lion/nn/cuda/linear.hpp"

namespace lion::cuda {

/// Tokens [N,C] to [N,C] over a hidden width M.
template <class T>
class Mlp {
 public:
  Mlp() = default;
  Mlp(WeightImage<T>& image, const std::string& inner, const std::string& outer, Index width)
      : fc1_(image, inner, width), fc2_(image, outer, fc1_.out()) {}

  Index hidden() const { return fc1_.out(); }

  /// y += mlp(x), which may be y. `wide` has N·M elements.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y, T* wide) const {
    const View<T, 2> h(wide, {x.extent(0), hidden()});
    fc1_.forward(queue, x, h);
    activate<Gelu>(queue, h);
    fc2_.forward(queue, h, y, true);
  }

 private:
  Linear<T> fc1_, fc2_;
};

}  // namespace lion::cuda
