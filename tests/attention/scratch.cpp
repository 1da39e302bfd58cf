#include "support/attention_gated.hpp"
#include "support/catch.hpp"

// How much scratch a forward pass takes: a constant per lane, and what its rows wait in.

namespace {
using namespace lion;
using namespace lion::test;

constexpr Index kShort = 1024, kLong = 65536;

struct Lanes {
  Index n;
  Index concurrency() const { return n; }
  void parallel_for(Index, auto&&) const {}
};

template <class T, class M, class N = normalise::RowSum, class Dir = direction::Both>
std::size_t scratch(auto form, Index L, Index lanes, Index orders = 1) {
  const Lanes executor{lanes};
  // Shapes alone are read.
  const View<const T, 4> q(nullptr, {2, 8, L, 64}), v(nullptr, {2, 8, L, 48});
  const Attention<M, decltype(form), backend::Cpu, N, Dir> attention{form};
  return attention.workspace_size(AttentionInputs<T>{q, q, v}, executor, static_cast<std::size_t>(orders));
}

/// Bytes by which a lane grows with each token.
template <class T, class M, class N = normalise::RowSum, class Dir = direction::Both>
double per_token(auto form, Index orders = 1) {
  const auto growth = [&](Index lanes) {
    return static_cast<double>(scratch<T, M, N, Dir>(form, kLong, lanes, orders)) -
           static_cast<double>(scratch<T, M, N, Dir>(form, kShort, lanes, orders));
  };
  CHECK(growth(3) == 3 * growth(1));
  return growth(1) / static_cast<double>(kLong - kShort);
}

}  // namespace

TEST_CASE("forward scratch of a lane is a constant where rows are met once") {
  CHECK(per_token<float, mask::Linear>(form::Full{}) == 0);
  CHECK(per_token<float, mask::Decay>(form::Full{}) == 0);
  CHECK(per_token<bfloat16, mask::Selective>(form::Full{}) == 0);
  CHECK(per_token<float, mask::Linear>(form::Chunk{64}) == 0);
  CHECK(per_token<bfloat16, mask::Linear>(form::Chunk{64}) == 0);
  CHECK(per_token<float, mask::Linear>(form::Rnn{}) == 0);
  CHECK(per_token<float, mask::Linear>(form::Auto{}) == 0);
  CHECK(per_token<float, mask::Selective, normalise::RowSum, direction::Forward>(form::Chunk{64}) == 0);
  CHECK(per_token<bfloat16, mask::Decay, normalise::RowSum, direction::Backward>(form::Rnn{}) == 0);
}

TEST_CASE("and grows by one denominator per token where two sweeps meet them") {
  CHECK(per_token<float, mask::Decay>(form::Chunk{64}) == sizeof(float));
  CHECK(per_token<float, mask::Selective>(form::Chunk{64}) == sizeof(float));
  CHECK(per_token<float, Gated>(form::Chunk{100}) == sizeof(float));
  CHECK(per_token<float, mask::Decay>(form::Rnn{}) == sizeof(float));
  CHECK(per_token<double, mask::Selective>(form::Chunk{64}) == sizeof(double));
  CHECK(per_token<float, mask::Linear>(form::Full{}, 2) == sizeof(float));
  CHECK(per_token<float, mask::Selective, normalise::None>(form::Chunk{64}) == 0);
}

TEST_CASE("and by a row of sums where y cannot hold them") {
  CHECK(per_token<bfloat16, mask::Decay>(form::Chunk{64}) == 49 * sizeof(float));
  CHECK(per_token<half, mask::Selective>(form::Rnn{}) == 49 * sizeof(float));
  CHECK(per_token<bfloat16, mask::Selective, normalise::None>(form::Chunk{64}) == 48 * sizeof(float));
}

TEST_CASE("the constant does not depend on the chunk, and is small") {
  const std::size_t size = scratch<float, mask::Selective>(form::Chunk{64}, kShort, 1);
  CHECK(scratch<float, mask::Selective>(form::Chunk{1000}, kShort, 1) == size);
  CHECK(scratch<float, mask::Selective>(form::Chunk{1}, kShort, 1) == size);
  CHECK(size - kShort * sizeof(float) < 256 * 1024);
}

TEST_CASE("no more lanes are paid for than there are heads") {
  CHECK(scratch<float, mask::Linear>(form::Full{}, kShort, 1000) ==
        scratch<float, mask::Linear>(form::Full{}, kShort, 16));
}

TEST_CASE("few long sequences are worked on in halves: scratch grows by those in work at once") {
  const auto growth = [](Index lanes) {
    const Lanes executor{lanes};
    const auto at = [&](Index L) {
      const View<const float, 4> x(nullptr, {1, 3, L, 64});
      const Attention<mask::Decay, form::Chunk> attention{};
      return static_cast<double>(attention.workspace_size(AttentionInputs<float>{x, x, x}, executor));
    };
    return (at(kLong) - at(kLong / 2)) / (kLong / 2);
  };
  CHECK(growth(1) == sizeof(float));
  CHECK(growth(2) == 2 * sizeof(float));
  CHECK(growth(6) == 3 * sizeof(float));
}
