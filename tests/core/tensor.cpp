#include "lion/core/tensor.hpp"

#include <cstdint>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::Shape;
using lion::Tensor;
using lion::View;

TEST_CASE("a tensor is zero, dense and aligned") {
  const Tensor<double, 3> tensor({3, 5, 7});
  REQUIRE(tensor.size() == 105);
  REQUIRE(reinterpret_cast<std::uintptr_t>(tensor.data()) % lion::kAlignment == 0);
  REQUIRE(tensor.view().strides() == Shape<3>{35, 7, 1});
  for (lion::Index i = 0; i < 105; ++i) REQUIRE(tensor.data()[i] == 0.0);
}

TEST_CASE("every storage type can be held") {
  Tensor<lion::bfloat16, 1> brief({3});
  Tensor<lion::half, 1> half({3});
  Tensor<bool, 1> truth({3});
  brief.fill(lion::bfloat16(1.5f));
  half.fill(lion::half(1.5f));
  truth.fill(true);
  REQUIRE(static_cast<float>(brief(2)) == 1.5f);
  REQUIRE(static_cast<float>(half(2)) == 1.5f);
  REQUIRE(truth(2));
}

TEST_CASE("a tensor moves, and copies only when asked") {
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Tensor<float, 1>>);
  Tensor<float, 1> a({2});
  a(1) = 4;
  Tensor<float, 1> b = a.clone();
  b(1) = 5;
  REQUIRE(a(1) == 4);
  const float* address = a.data();
  const Tensor<float, 1> c = std::move(a);
  REQUIRE(c.data() == address);
  REQUIRE(c(1) == 4);
}

TEST_CASE("a clone has the shape and the values, at an address of its own") {
  Tensor<int, 2> a({2, 3});
  for (int i = 0; i < 6; ++i) a.data()[i] = i;
  const Tensor<int, 2> b = a.clone();
  REQUIRE(b.shape() == a.shape());
  REQUIRE(b.data() != a.data());
  for (int i = 0; i < 6; ++i) REQUIRE(b.data()[i] == i);
}

TEST_CASE("no tensor, no view; no elements, a view all the same") {
  Tensor<float, 2> none;
  REQUIRE_FALSE(none.view());
  REQUIRE(none.size() == 0);
  Tensor<float, 2> empty({0, 4});
  REQUIRE(empty.view());
  REQUIRE(empty.size() == 0);
}

TEST_CASE("a tensor stands for its view") {
  Tensor<float, 2> tensor({2, 2});
  const View<float, 2> view = tensor;
  view(1, 0) = 3;
  REQUIRE(tensor(1, 0) == 3);
  const Tensor<float, 2>& constant = tensor;
  const View<const float, 2> read = constant;
  REQUIRE(read(1, 0) == 3);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<const Tensor<float, 2>&, View<float, 2>>);
}

TEST_CASE("a negative extent is an error") {
  require_error<lion::ArgumentError>(
      [] {
        Tensor<float, 2>({3, -1});
      },
      "Tensor: shape is [3,*], expected no negative extent");
}
