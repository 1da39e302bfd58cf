#include "lion/cpu/packed_product.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/attention_random.hpp"
#include "support/catch.hpp"
#include "support/packed_rounding.hpp"

// The product with packed weights, by whatever the CPU has for their type and by floats, against sums in double.

namespace {
using namespace lion;
using namespace lion::test;
using cpu::WeightType;

std::vector<float> numbers(Random& random, Index n) {
  std::vector<float> result(static_cast<std::size_t>(n));
  for (float& value : result) value = static_cast<float>(random.uniform(-1, 1));
  return result;
}

/// The product is added to rows of 1 that lie apart and a bias of 1/2; rows are rounded or not.
template <class Product>
void check(WeightType type, bool rounds_rows, Index n, Index in, Index out, Product&& product) {
  INFO("type " << static_cast<int>(type) << ", " << n << " rows, " << in << " to " << out);
  Random random(static_cast<std::uint64_t>(n * in + out));
  std::vector<float> x = numbers(random, n * in), w = numbers(random, out * in);
  const std::vector<float> rows(static_cast<std::size_t>(n * (out + 3)), 1.0f),
      bias(static_cast<std::size_t>(out), 0.5f);
  std::vector<float> y(static_cast<std::size_t>(n * out), std::numeric_limits<float>::quiet_NaN());
  const cpu::PackedMatrix packed(w.data(), out, in, type);
  product(cpu::matrix(y.data(), n, out), cpu::Base<float>{rows.data(), out + 3, bias.data()},
          cpu::matrix(std::as_const(x).data(), n, in), packed);
  for (Index t = 0; t < n && rounds_rows; ++t) round(type, true, x.data() + t * in, in);
  for (Index o = 0; o < out; ++o) round(type, false, w.data() + o * in, in);
  Index wrong = 0;
  for (Index t = 0; t < n; ++t) {
    for (Index o = 0; o < out; ++o) {
      double sum = 1.5, size = 1.5;
      for (Index i = 0; i < in; ++i) {
        const double term = static_cast<double>(x[static_cast<std::size_t>(t * in + i)]) *
                            static_cast<double>(w[static_cast<std::size_t>(o * in + i)]);
        sum += term;
        size += std::abs(term);
      }
      wrong += !(std::abs(static_cast<double>(y[static_cast<std::size_t>(t * out + o)]) - sum) < 1e-6 * size);
    }
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("packed weights by what the CPU has, and by floats") {
  for (const WeightType type : {WeightType::float32, WeightType::bfloat16, WeightType::int8}) {
    for (const auto& [n, in, out] : {std::array<Index, 3>{1, 64, 64}, {15, 130, 96}, {29, 1700, 70}, {208, 65, 33}}) {
      check(type, cpu::converts_rows(type), n, in, out,
            [](auto y, auto base, auto x, const auto& w) { cpu::packed_product(y, base, x, w, 0); });
      check(type, false, n, in, out,
            [](auto y, auto base, auto x, const auto& w) { cpu::detail::unpacked_product(y, base, x, w, 0); });
    }
  }
}
