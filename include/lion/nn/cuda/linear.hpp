#pragma once
/// nn::Linear on the GPU.

#include "lion/nn/cuda/product.hpp"
#include "lion/nn/cuda/weights.hpp"

namespace lion::cuda {

template <class T>
class Linear {
 public:
  Linear() = default;
  /// `name`.weight and `name`.bias, times `factor`; of several names, their outputs side by side.
  Linear(WeightImage<T>& image, const std::vector<std::string>& names, Index in, float factor = 1) : in_(in) {
    std::vector<std::string> weights, biases;
    for (const std::string& name : names) {
      weights.push_back(name + ".weight");
      biases.push_back(name + ".bias");
      out_ += image.at(name + ".bias").size();
    }
    weight_ = image.take(weights, factor);
    bias_ = image.take(biases, factor);
  }
  Linear(WeightImage<T>& image, const std::string& name, Index in, float factor = 1)
      : Linear(image, std::vector<std::string>{name}, in, factor) {}

  Index in() const { return in_; }
  Index out() const { return out_; }

  /// y = x Wᵀ + b, or y += it if `add`: x [N,I], y [N,O].
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& x, const View<T, 2>& y, bool add = false) const {
    queue.product(Product<T>{x, weight_, bias_, y, add});
  }

 private:
  const T* weight_ = nullptr;  // [O,I]
  const T* bias_ = nullptr;    // [O]
  Index in_ = 0, out_ = 0;
};

}  // namespace lion::cuda
