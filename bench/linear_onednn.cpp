/// The products of packed weights, one thread, beside oneDNN's (version 2) with weights in the order that it asks for,
/// in turns, at the shapes of a base model's layers: GFLOP/s of both and the median of the ratios. bfloat16 includes
/// the rounding of the rows on both sides.
///
///   OMP_NUM_THREADS=1 bench_linear_onednn

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <vector>

#include "lion/nn/product.hpp"
#include "operator_case.hpp"

namespace {

using namespace lion;

Tensor<float, 2> random_matrix(std::mt19937& random, Index rows, Index columns) {
  Tensor<float, 2> x({rows, columns});
  std::uniform_real_distribution<float> unit(-1, 1);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = unit(random);
  return x;
}

/// y = x·wᵀ + bias by oneDNN.
class OneDnn {
  using Type = dnnl::memory::data_type;
  using Order = dnnl::memory::format_tag;

 public:
  OneDnn(Tensor<float, 2>& x, Tensor<float, 2>& w, Tensor<float, 2>& bias, Tensor<float, 2>& y, Type type)
      : rounds_(type != Type::f32) {
    const Index N = x.extent(0), I = x.extent(1), O = w.extent(0);
    const dnnl::memory::desc rows({N, I}, type, Order::ab), any({I, O}, type, Order::any);
    const dnnl::memory::desc one({1, O}, Type::f32, Order::ab), out({N, O}, Type::f32, Order::ab);
    const dnnl::matmul::primitive_desc product(dnnl::matmul::desc(rows, any, one, out), engine_);
    product_ = dnnl::matmul(product);
    x_ = dnnl::memory({{N, I}, Type::f32, Order::ab}, engine_, x.data());
    rows_ = rounds_ ? dnnl::memory(rows, engine_) : x_;
    dnnl::memory plain({{I, O}, Type::f32, Order::ba}, engine_, w.data());
    weights_ = dnnl::memory(product.weights_desc(), engine_);
    dnnl::reorder(plain, weights_).execute(stream_, plain, weights_);
    if (rounds_) round_ = dnnl::reorder(x_, rows_);
    bias_ = dnnl::memory(one, engine_, bias.data());
    y_ = dnnl::memory(out, engine_, y.data());
    stream_.wait();
  }

  void run() {
    if (rounds_) round_.execute(stream_, x_, rows_);
    product_.execute(stream_,
                     {{DNNL_ARG_SRC, rows_}, {DNNL_ARG_WEIGHTS, weights_}, {DNNL_ARG_BIAS, bias_}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul product_;
  dnnl::reorder round_;
  dnnl::memory x_, rows_, weights_, bias_, y_;
  bool rounds_;
};

void measure(Index N, Index I, Index O, bool bfloat) {
  std::mt19937 random(1);
  Tensor<float, 2> x = random_matrix(random, N, I), w = random_matrix(random, O, I), bias = random_matrix(random, 1, O);
  Tensor<float, 2> y({N, O}), other({N, O});
  const cpu::PackedMatrix packed(w.data(), O, I, bfloat ? cpu::WeightType::bfloat16 : cpu::WeightType::float32);
  const cpu::PackedMatrix* const weight = &packed;
  const float* const b = bias.data();
  OneDnn onednn(x, w, bias, other, bfloat ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32);
  const auto ours = [&] { nn::packed_product<float>(x, {&weight, 1}, {&b, 1}, {}, y, nullptr, {}); };
  const auto theirs = [&] { onednn.run(); };
  ours(), theirs();
  for (Index i = 0; i < y.size(); ++i) {
    if (std::abs(y.data()[i] - other.data()[i]) < 1e-2f) continue;
    std::fprintf(stderr, "bench_linear_onednn: the two sides differ\n");
    std::exit(1);
  }
  const double work = 2e-9 * static_cast<double>(N * I * O);
  const int rounds = std::max(1, static_cast<int>((bfloat ? 1.2 : 0.4) / work));
  std::vector<double> ratios, of_ours, of_theirs;
  for (int s = 0; s < 9; ++s) {
    of_ours.push_back(bench::seconds(rounds, ours));
    of_theirs.push_back(bench::seconds(rounds, theirs));
    ratios.push_back(of_theirs.back() / of_ours.back());
  }
  const bench::Spread ratio = bench::spread(ratios);
  std::printf("%4td x %4td -> %4td  %-8s  %6.1f GFLOP/s, oneDNN %6.1f   x%.2f  (%.2f – %.2f)\n", N, I, O,
              bfloat ? "bfloat16" : "float32", work / bench::spread(of_ours).median,
              work / bench::spread(of_theirs).median, ratio.median, ratio.low, ratio.high);
  std::fflush(stdout);
}

}  // namespace

int main() {
  for (const bool bfloat : {false, true}) {
    for (const Index N : {197, 1576, 6085}) {
      for (const auto& [I, O] : {std::pair<Index, Index>{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}}) {
        try {
          measure(N, I, O, bfloat);
        } catch (const dnnl::error& error) {  // it has bfloat16 for few CPUs
          std::printf("%4td x %4td -> %4td  is left out: oneDNN says %s\n", N, I, O, error.what());
        }
      }
    }
  }
}
