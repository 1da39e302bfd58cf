// The tests of the layers' and the vision model's kernels, on the GPU; and cuBLASLt's products beside the plain
// kernel's.

#include "lion/model/cuda.hpp"
#include "simt/vision.cpp"

namespace {

/// y of these extents by cuBLASLt, asked twice, and by the plain kernel; added to where it is not apart from
/// `residual`.
template <class T, class Out>
void check_product(cuda::Blas& blas, Matrix<Out>& y, Matrix<Out>& wanted, const cuda::Product<T, Out>& p) {
  const cuda::Queue fast{{}, &blas}, plain{};
  const Index size = p.y.extent(0) * p.y.extent(1);
  for (int time = 0; time < 2; ++time) {  // again by what was remembered
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    std::copy_n(wanted.view().data(), size, y.view().data());
    fast.product(p);
  }
  cuda::Product<T, Out> other = p;
  other.y = wanted.view();
  if (p.residual) other.residual = wanted.view();
  plain.product(other);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  for (Index i = 0; i < p.y.extent(0); ++i) {
    for (Index j = 0; j < p.y.extent(1); ++j) wanted.exact()(i, j) = static_cast<float>(wanted.view()(i, j));
  }
  CHECK(y.error(wanted.exact()) <= 2 * layer_limit<Out>());
}

template <class T>
void check_products() {
  Random random(7);
  cuda::Blas blas;
  for (const auto& [rows, in, out] : {std::array<Index, 3>{1, 8, 8}, {197, 768, 2304}, {33, 40, 1000}, {5, 7, 3}}) {
    INFO(rows << " rows, " << in << " to " << out);
    Matrix<T> x(random, rows, in), weight(random, out, in), bias(random, 1, out), dy(random, rows, out);
    for (const bool add : {false, true}) {
      Matrix<T> y(rows, out), y_wanted(random, rows, out), dx(rows, in), dx_wanted(random, rows, in);
      Matrix<float> dw(out, in), dw_wanted(random, out, in);
      const auto or_none = [add](auto& to) { return add ? to.seen() : decltype(to.seen())(); };
      check_product<T, T>(blas, y, y_wanted, {x.view(), weight.view(), bias.view().data(), y.view(), or_none(y)});
      check_product<T, T>(blas, dx, dx_wanted,
                          {dy.view(), cuda::turned(weight.seen()), nullptr, dx.view(), or_none(dx)});
      check_product<T, float>(blas, dw, dw_wanted,
                              {cuda::turned(dy.seen()), cuda::turned(x.seen()), nullptr, dw.view(), or_none(dw)});
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
