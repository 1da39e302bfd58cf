#include "lion/cpu/bfloat16_product.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/attention_random.hpp"
#include "support/catch.hpp"

// The products of a walk over bfloat16 tensors, against sums in double of what the factors are rounded to. Where the
// CPU has no such products these are the float ones, and nothing is rounded.

namespace {
using namespace lion;
using namespace lion::test;
using Products = cpu::TileProducts<bfloat16>;
using Row = Products::Row;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

float rounded(float value) { return Products::rounds ? static_cast<float>(static_cast<bfloat16>(value)) : value; }

/// A matrix, its rows further apart than they are wide; NaN wherever it has no entry.
template <class X>
struct Matrix {
  Index rows, columns, stride;
  std::vector<X> data;

  Matrix(Random& random, Index m, Index n, Index more)
      : rows(m), columns(n), stride(cpu::padded<float>(n) + more), data(static_cast<std::size_t>((m + 2) * stride)) {
    std::fill(data.begin(), data.end(), static_cast<X>(kNone));
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < n; ++j) *at(i, j) = static_cast<X>(static_cast<float>(random.uniform(-1, 1)));
    }
  }
  X* at(Index i, Index j) { return data.data() + i * stride + j; }
  float value(Index i, Index j) { return static_cast<float>(*at(i, j)); }
  cpu::Tile<X> tile() { return {data.data(), stride}; }
  cpu::Tile<const X> read() { return {data.data(), stride}; }
};

std::vector<float> weights(Random& random, Index n) {
  std::vector<float> result(static_cast<std::size_t>(n));
  for (float& value : result) value = static_cast<float>(random.uniform(0.1, 1));
  return result;
}

enum class Right { plain, weighed, turned };

/// XA and XB are what the factors hold.
template <class XA, class XB>
void check(Random& random, Index m, Index n, Index depth, bool transposed, Right right, cpu::Fade<float> fade,
           bool weighed) {
  INFO(m << "x" << n << "x" << depth << ", transposed " << transposed << ", right " << static_cast<int>(right)
         << ", fade " << fade.keep << " " << fade.change << ", weighed " << weighed);
  Matrix<XA> a(random, transposed ? depth : m, transposed ? m : depth, 16 * random.below(2));
  Matrix<XB> b(random, right == Right::turned ? n : depth, right == Right::turned ? depth : n, 16 * random.below(2));
  Matrix<float> c(random, m, n, 16);
  const std::vector<float> weight = weights(random, m), by = weights(random, depth);
  const float turn_by = random.chance(0.5) ? 1.0f : 0.7f;
  std::vector<float> before = c.data;
  if (fade.all()) {
    for (Index i = 0; i < m; ++i) std::fill_n(c.at(i, 0), n, kNone);
  }
  const cpu::LeftFactor<XA> left = transposed ? cpu::transposed(a.read()) : cpu::plain(a.read());
  const cpu::Into<float> into{fade, weighed ? weight.data() : nullptr};
  if (right == Right::turned) {
    Arena counting;
    Products::Turned(counting, depth, n);
    std::vector<float> memory(counting.used() / sizeof(float) + 16, kNone);
    auto* first = reinterpret_cast<std::byte*>(memory.data());
    Arena arena(first + (64 - reinterpret_cast<std::uintptr_t>(first) % 64) % 64);
    Products::Turned columns(arena, depth, n);
    columns.turn(b.read(), n, depth, turn_by);
    const typename Products::Scope scope;
    Products::add(c.tile(), m, n, depth, left, columns, into);
  } else {
    const typename Products::Scope scope;
    Products::add(c.tile(), m, n, depth, left, b.read(), into, nullptr, right == Right::weighed ? by.data() : nullptr);
  }
  Index wrong = 0;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double sum = 0, size = 1;
      for (Index p = 0; p < depth; ++p) {
        const float x = transposed ? a.value(p, i) : a.value(i, p);
        float y = right == Right::turned ? turn_by * b.value(j, p) : b.value(p, j);
        if (right == Right::weighed) y *= by[static_cast<std::size_t>(p)];
        const double term = static_cast<double>(rounded(x)) * static_cast<double>(rounded(y));
        sum += term;
        size += std::abs(term);
      }
      if (weighed) sum *= static_cast<double>(weight[static_cast<std::size_t>(i)]);
      const double was = static_cast<double>(before[static_cast<std::size_t>(i * c.stride + j)]);
      const double wanted =
          fade.all() ? sum : static_cast<double>(fade.keep) * was + static_cast<double>(fade.change) * was + sum;
      if (!(std::abs(static_cast<double>(c.value(i, j)) - wanted) <= 1e-6 * size)) ++wrong;
    }
    for (Index j = cpu::padded<float>(n); j < c.stride; ++j) wrong += !std::isnan(c.value(i, j));
  }
  for (Index i = m * c.stride; i < static_cast<Index>(c.data.size()); ++i) {
    wrong += !std::isnan(c.data[static_cast<std::size_t>(i)]);
  }
  CHECK(wrong == 0);
}

template <class XA, class XB>
void check_shapes(std::uint64_t seed) {
  Random random(seed);
  const auto size = [&](std::initializer_list<Index> usual) {
    return random.chance(0.5) ? random.pick(usual) : random.below(150);
  };
  for (int round = 0; round < 100; ++round) {
    const Index m = size({0, 1, 16, 48, 64}), n = size({0, 1, 16, 48, 64, 300}), depth = size({0, 1, 2, 64, 65, 300});
    const cpu::Fade<float> fade = random.pick<cpu::Fade<float>>({{}, {0, 0}, {0.5f, 0}, {1, -0.125f}});
    const Right right = random.pick({Right::plain, Right::turned, Products::rounds ? Right::weighed : Right::plain});
    check<XA, XB>(random, m, n, depth, random.chance(0.5), right, fade, random.chance(0.5));
  }
}

}  // namespace

TEST_CASE("products of tiles by rounded factors, at any shape") {
  check_shapes<float, float>(1);
  check_shapes<Row, Row>(2);
  check_shapes<Row, float>(3);
  check_shapes<float, Row>(4);
}

#ifdef LION_TILE_REGISTERS
TEST_CASE("a scope of tile registers inside another leaves it be") {
  Random random(5);
  const typename Products::Scope outer;
  { const typename Products::Scope inner; }
  check<float, float>(random, 40, 40, 40, false, Right::plain, {}, true);
  check<float, float>(random, 64, 64, 64, true, Right::plain, {}, false);
}
#endif
