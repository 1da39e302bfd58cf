#include <lion/nn/linear.hpp>

// A linear layer by a BLAS: y = W x + b.
int main() {
  static_assert(lion::cpu::kBlas);
  lion::nn::Linear<float> layer("layer", 2, 1);
  lion::Tensor<float, 2> x({1, 2}), y({1, 1});
  layer.weight.value(0) = 2;
  layer.weight.value(1) = 3;
  layer.bias.value(0) = 1;
  x(0, 0) = 10;
  x(0, 1) = 100;
  layer.forward(x, y, {});
  return y(0, 0) == 321 ? 0 : 1;
}
