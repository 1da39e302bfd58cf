// The tests of the layers' and the vision model's kernels, on the GPU; and cuBLASLt's products beside the plain
// kernel's.

#include "lion/model/cuda.hpp"
#include "simt/vision.cpp"

namespace {

template <class T>
void check_products() {
  Random random(7);
  cuda::Blas blas;
  const cuda::Queue fast{{}, &blas}, plain{};
  for (const auto& [rows, in, out] : {std::array<Index, 3>{1, 8, 8}, {197, 768, 2304}, {33, 40, 1000}, {5, 7, 3}}) {
    INFO(rows << " rows, " << in << " to " << out);
    for (const bool add : {false, true}) {
      Matrix<T> x(random, rows, in), weight(random, out, in), bias(random, 1, out);
      Matrix<T> wanted(random, rows, out), y(rows, out);
      const auto product = [&](Matrix<T>& to) {
        return cuda::Product<T>{x.view(), weight.view().data(), bias.view().data(), to.view(), add};
      };
      for (int time = 0; time < 2; ++time) {  // again by what was remembered
        REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
        std::copy_n(wanted.view().data(), rows * out, y.view().data());
        fast.product(product(y));
      }
      plain.product(product(wanted));
      REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < out; ++j) wanted.exact()(i, j) = static_cast<float>(wanted.view()(i, j));
      }
      CHECK(y.error(wanted.exact()) <= layer_limit<T>());
    }
  }
}

}  // namespace

TEST_CASE("products by cuBLASLt are the plain kernel's") {
  check_products<float>();
  check_products<bfloat16>();
  check_products<lion::half>();
}

TEST_CASE("memory of the device keeps what is uploaded, and moves") {
  const std::vector<float> values{1, 2, 3};
  cuda::Memory first(12), second(std::move(first));
  second.upload(values.data());
  std::vector<float> back(3);
  second.download(back.data());
  REQUIRE(back == values);
  first = std::move(second);
  REQUIRE(second.size() + first.size() == 12);
}
