#pragma once
/// nn::Linear on the GPU.

#include "lion/nn/cuda/column_sums.hpp"
#include "lion/nn/cuda/product.hpp"
#include "lion/nn/cuda/trained_weights.hpp"
#include "lion/nn/cuda/weights.hpp"

namespace lion::cuda {

template <class T>
class Linear {
 public:
  using A = accumulator_t<T>;

  Linear() = default;
  /// `name`.weight and `name`.bias, times `factor`; of several names, their outputs side by side. Image hands out the
  /// weights' places (weights.hpp, trained_weights.hpp).
  template <class Image>
  Linear(Image& image, const std::vector<std::string>& names, Index in, float factor = 1) : in_(in) {
    std::vector<std::string> weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
      out_ += image.at(name + ".bias").size();
    }
    weight_ = image.take(weights, factor);
    bias_ = image.take(biases, factor);
  }
  template <class Image>
  Linear(Image& image, const std::string& name, Index in, float factor = 1)
      : Linear(image, std::vector<std::string>{name}, in, factor) {}
  /// Over weights [O,I] and biases [O] that lie there.
  Linear(const T* weight, const T* bias, Index in, Index out) : weight_(weight), bias_(bias), in_(in), out_(out) {}

  Index in() const { return in_; }
  Index out() const { return out_; }

  /// y = x Wᵀ + b + residual, which may be y or absent: x [N,I], y [N,O].
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y,
               const View<const T, 2>& residual = {}) const {
    queue.product(Product<T>{x, weight(), bias_, y, residual});
  }

  /// dx [N,I] = dy W + residual, which may be dx or absent, of dy [N,O].
  template <class Queue>
  void backward_input(const Queue& queue, const View<const T, 2>& dy, const View<T, 2>& dx,
                      const View<const T, 2>& residual = {}) const {
    queue.product(Product<T>{dy, turned(weight()), nullptr, dx, residual});
  }

  /// Adds to the gradients of weight and bias; x as forward had it. `sums` is scratch of backward_scratch(N) elements.
  template <class Queue>
  void backward_weights(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& dy,
                        const View<const T, 2>& x, A* sums) const {
    const View<A, 2> dweight(weights.gradient(weight_), {out_, in_});
    queue.product(Product<T, A>{turned(dy), turned(x), nullptr, dweight, dweight});
    add_column_sums(queue, ColumnsOf<T>{dy}, dy.extent(0), out_, {weights.gradient(bias_)}, sums);
  }
  Index backward_scratch(Index tokens) const { return column_sums_scratch(tokens, out_); }

 private:
  View<const T, 2> weight() const { return {weight_, {out_, in_}}; }

  const T* weight_ = nullptr;  // [O,I]
  const T* bias_ = nullptr;    // [O]
  Index in_ = 0, out_ = 0;
};

}  // namespace lion::cuda
