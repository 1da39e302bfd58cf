#pragma once
/// nn::Mlp on the GPU.

#include <algorithm>

#include "lion/nn/cuda/activation.hpp"
#include "lion/nn/cuda/linear.hpp"

namespace lion::cuda {

/// Tokens [N,C] to [N,C] over a hidden width M.
template <class T>
class Mlp {
 public:
  Mlp() = default;
  template <class Image>
  Mlp(Image& image, const std::string& inner, const std::string& outer, Index width)
      : fc1_(image, inner, width), fc2_(image, outer, fc1_.out()) {}

  Index hidden() const { return fc1_.out(); }

  /// y += mlp(x), which may be y. `wide` has N·M elements.
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y, T* wide) const {
    const View<T, 2> h(wide, {x.extent(0), hidden()});
    fc1_.forward(queue, x, h);
    activate<Gelu>(queue, h);
    fc2_.forward(queue, h, y, y);
  }

  /// y = residual + mlp(x), keeping the pre-activations [N,M] for backward; `activated` [N,M] is scratch.
  template <class Queue>
  void forward_train(const Queue& queue, const View<const T, 2>& x, const View<const T, 2>& residual,
                     const View<T, 2>& y, const View<T, 2>& preactivations, const View<T, 2>& activated) const {
    fc1_.forward(queue, x, preactivations);
    activate<Gelu, T>(queue, preactivations, activated);
    fc2_.forward(queue, activated, y, residual);
  }

  /// dx [N,C] = residual, if there is one, + the gradient of x from dy, and the weights' gradients are added;
  /// preactivations as forward_train left them; `activated`, `dhidden` [N,M] and `sums`, of backward_scratch(N)
  /// elements, are scratch.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& dy,
                const View<const T, 2>& x, const View<const T, 2>& preactivations, const View<T, 2>& activated,
                const View<T, 2>& dhidden, const View<T, 2>& dx, accumulator_t<T>* sums,
                const View<const T, 2>& residual = {}) const {
    activate<Gelu, T>(queue, preactivations, activated);
    fc2_.backward_weights(queue, weights, dy, activated, sums);
    fc2_.backward_input(queue, dy, dhidden);
    activate_backward<Gelu, T>(queue, preactivations, dhidden);
    fc1_.backward_weights(queue, weights, dhidden, x, sums);
    fc1_.backward_input(queue, dhidden, dx, residual);
  }
  Index backward_scratch(Index tokens) const {
    return (std::max)(fc1_.backward_scratch(tokens), fc2_.backward_scratch(tokens));
  }

 private:
  Linear<T> fc1_, fc2_;
};

}  // namespace lion::cuda
