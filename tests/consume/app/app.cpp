#include <cmath>
#include <engine.hpp>

int main() {
  lion::Tensor<float, 4> x({1, 1, 3, 1}), y({1, 1, 3, 1});
  lion::Tensor<float, 1> log_lambda({1});  // λ = 1: every token sees the mean of all
  x.fill(1);
  x(0, 0, 2, 0) = 1;
  Engine engine;
  engine.run({x, x, x}, log_lambda, y);
  return std::abs(y(0, 0, 0, 0) - 1) < 1e-4f ? 0 : 1;
}
