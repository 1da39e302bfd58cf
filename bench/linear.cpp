/// The products of a linear layer, one thread, beside Eigen's of the same matrices in turns: GFLOP/s of both, the
/// median of the ratios, and what the best turn reached of the float32 peak, the best of runs between them. At the
/// shapes of a base model's layers, 8 images of 224 px.
///
///   bench_linear [--samples N]

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "lion/nn/product.hpp"
#include "operator_case.hpp"
#include "peak.hpp"

namespace {

using namespace lion;

Tensor<float, 2> random_matrix(std::mt19937& random, Index rows, Index columns) {
  Tensor<float, 2> x({rows, columns});
  std::uniform_real_distribution<float> unit(-1, 1);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = unit(random);
  return x;
}

/// Of a run about as long as a product: shorter ones reach what no product can keep up.
double sustained_peak() {
  double operations = 0;
  const double seconds = bench::seconds(1, [&] { operations = bench::multiply_add_chains(10'000'000); });
  return operations / seconds;
}

template <class Ours, class Eigens>
void measure(const char* name, int samples, Index N, Index I, Index O, Ours&& ours, Eigens&& eigens) {
  ours(), eigens();
  std::vector<double> ratios, of_ours, of_eigens;
  double peak = 0;
  for (int s = 0; s < samples; ++s) {
    peak = std::max(peak, sustained_peak());
    of_ours.push_back(bench::seconds(1, ours));
    of_eigens.push_back(bench::seconds(1, eigens));
    ratios.push_back(of_eigens.back() / of_ours.back());
  }
  const double work = 2e-9 * static_cast<double>(N * I * O);
  const bench::Spread ratio = bench::spread(ratios);
  std::printf("%4td x %4td -> %4td  %-16s %6.1f GFLOP/s, Eigen %6.1f   x%.2f  (%.2f – %.2f), %.2f of the peak\n", N, I,
              O, name, work / bench::spread(of_ours).median, work / bench::spread(of_eigens).median, ratio.median,
              ratio.low, ratio.high, 1e9 * work / *std::min_element(of_ours.begin(), of_ours.end()) / peak);
  std::fflush(stdout);
}

void measure_layer(int samples, Index N, Index I, Index O) {
  std::mt19937 random(1);
  const Tensor<float, 2> x = random_matrix(random, N, I), w = random_matrix(random, O, I),
                         dy = random_matrix(random, N, O);
  Tensor<float, 2> y({N, O}), dx({N, I}), dw({O, I});
  const float* const weight = w.data();
  const float* const no_bias = nullptr;
  float* const weight_gradient = dw.data();
  float* const no_bias_gradient = nullptr;
  const auto map = [](const Tensor<float, 2>& t) { return cpu::matrix(t.data(), t.extent(0), t.extent(1)); };
  const auto to = [](Tensor<float, 2>& t) { return cpu::matrix(t.data(), t.extent(0), t.extent(1)); };
  measure(
      "forward", samples, N, I, O,
      [&] {
        nn::linear_product<float>(x, {&weight, 1}, {&no_bias, 1}, {}, y, nullptr, {});
      },
      [&] { cpu::set_product(to(y), map(x), map(w).transpose()); });
  const cpu::PackedMatrix packed(w.data(), O, I, cpu::WeightType::float32);
  const cpu::PackedMatrix* const packed_weight = &packed;
  measure(
      "packed forward", samples, N, I, O,
      [&] {
        nn::packed_product<float>(x, {&packed_weight, 1}, {&no_bias, 1}, {}, y, nullptr, {});
      },
      [&] { cpu::set_product(to(y), map(x), map(w).transpose()); });
  measure(
      "input gradient", samples, N, I, O,
      [&] {
        nn::linear_product_input_gradient<float>(dy, {&weight, 1}, dx, false, {});
      },
      [&] { cpu::set_product(to(dx), map(dy), map(w)); });
  measure(
      "weight gradient", samples, N, I, O,
      [&] {
        nn::linear_product_weight_gradient<float>(dy, x, {&weight_gradient, 1}, {&no_bias_gradient, 1}, {});
      },
      [&] { cpu::add_product(to(dw), map(dy).transpose(), map(x)); });
}

}  // namespace

int main(int argc, char** argv) {
  int samples = 9;
  CLI::App app("", "bench_linear");
  app.add_option("--samples", samples)->check(CLI::Range(1, 10000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  measure_layer(samples, 1576, 768, 2304);
  measure_layer(samples, 1576, 768, 768);
  measure_layer(samples, 1576, 768, 3072);
  measure_layer(samples, 1576, 3072, 768);
}
