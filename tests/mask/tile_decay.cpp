#include "lion/cpu/tile_decay.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"

// The weights of a tile against long double products of the λ themselves: no sums, no logs.

namespace {
using namespace lion;
using mask::DecayKind;

/// What TileDecay asks of a head: a log-decay per token, and the token at each place of the walk.
struct Walk {
  std::vector<double> log_lambda;
  std::vector<Index> order;
  Index token(Index p) const { return order.empty() ? p : order[static_cast<std::size_t>(p)]; }
  double log_decay(Index t) const { return log_lambda[static_cast<std::size_t>(t)]; }
  /// Product of the λ of places [first, last).
  long double across(Index first, Index last) const {
    long double product = 1;
    for (Index p = first; p < last; ++p) product *= std::exp(static_cast<long double>(log_decay(token(p))));
    return product;
  }
};

/// Whether a weight is right but for the rounding of its exponent to A, and of the up to kTile additions up to `span`
/// that it is a difference of.
template <class A>
bool close(A got, long double wanted, double span) {
  const auto smallest = static_cast<long double>(std::numeric_limits<A>::min());
  const auto value = static_cast<long double>(got);
  if (wanted < 2 * smallest) return value >= 0 && value <= 2 * smallest;
  const long double limit = (4 - std::log(wanted)) * static_cast<long double>(std::numeric_limits<A>::epsilon()) +
                            span * cpu::kTile / 2 * std::numeric_limits<double>::epsilon();
  return std::fabs(value - wanted) <= limit * wanted;
}

template <class A>
class DecayedTile {
 public:
  DecayedTile() : bytes_(1 << 20), workspace_(bytes_.data(), bytes_.size()) {
    Arena arena = workspace_.arena();
    decay = cpu::TileDecay<A, DecayKind::per_token>(arena);
    decay.restart();
  }
  cpu::TileDecay<A, DecayKind::per_token> decay;

 private:
  std::vector<std::byte> bytes_;
  Workspace workspace_;
};

template <class A>
void require_weights(const Walk& walk, Stretch s) {
  DecayedTile<A> tile;
  auto& decay = tile.decay;
  decay.derive(walk, s);
  const cpu::Edge<A> left = decay.left(), right = decay.right();
  const auto m = decay.tile();  // Mᵀ
  const double span = -decay.total();
  CHECK(close(static_cast<A>(std::exp(decay.total())), walk.across(s.first, s.end()), span));
  for (Index i = 0; i < s.size; ++i) {
    const Index p = s.first + i;
    INFO("place " << i << " of " << s.size);
    CHECK(close(left.from[i], walk.across(s.first, p), span));
    CHECK(close(left.to[i], walk.across(s.first, p + 1), span));
    CHECK(close(right.from[i], walk.across(p + 1, s.end()), span));
    CHECK(close(right.to[i], walk.across(p, s.end()), span));
    for (Index j = 0; j < s.size; ++j) {
      const Index z = s.first + j;
      const long double wanted = j <= i ? walk.across(z, p) : walk.across(p + 1, z + 1);
      if (!close(m(j)[i], wanted, span)) {
        CAPTURE(i, j, m(j)[i], static_cast<double>(wanted), span);
        CHECK(false);
      }
      if (wanted == 0) CHECK(m(j)[i] == A(0));
    }
  }
}

template <class A>
void require_all() {
  Walk walk;
  for (Index t = 0; t < 150; ++t) {
    const double kinds[] = {0.0, -0.001, -0.3, -1e-9, -30.0, -0.05, 0.0, -4.0, -0.7, -0.02};
    walk.log_lambda.push_back(kinds[(t * 7 + t / 10) % 10]);
  }
  for (const Stretch s : {Stretch{0, 64}, {3, 1}, {10, 0}, {61, 64}, {100, 50}}) require_weights<A>(walk, s);
  for (const Index cut : {5, 6, 40}) walk.log_lambda[static_cast<std::size_t>(cut)] = -INFINITY;
  for (const Stretch s : {Stretch{0, 64}, {5, 2}, {6, 1}, {20, 21}}) require_weights<A>(walk, s);
  for (Index p = 0; p < 150; ++p) walk.order.push_back((p * 67 + 11) % 150);
  for (const Stretch s : {Stretch{0, 64}, {90, 60}}) require_weights<A>(walk, s);
  // All cuts: nothing but the diagonal.
  walk.log_lambda.assign(150, -INFINITY);
  require_weights<A>(walk, {0, 64});
}

/// Every exponent of a weight, from the horizon to 0: an ulp or two, no subnormals, and 0 beyond.
template <class A>
void require_exponentials() {
  constexpr A horizon = static_cast<A>(mask::kHorizon<A>);
  constexpr Index kCount = 1 << 16;
  std::vector<A> x(kCount), got(kCount);
  for (Index i = 0; i < kCount; ++i) {
    const A part = static_cast<A>(i) / static_cast<A>(kCount);
    x[static_cast<std::size_t>(i)] = i % 2 ? horizon * part : -std::exp(A(20) * (part - A(0.8)));
  }
  x[0] = 0, x[1] = horizon, x[2] = horizon * A(1.0001), x[3] = -std::numeric_limits<A>::infinity();
  got = x;
  cpu::exponentials(got.data(), kCount);
  A worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] <= horizon) {
      worst = (std::max)(worst, got[i] == A(0) ? A(0) : A(1));
      continue;
    }
    const auto wanted = std::exp(static_cast<long double>(x[i]));
    worst = (std::max)(worst, static_cast<A>(std::fabs(static_cast<long double>(got[i]) - wanted) / wanted));
    if (got[i] < std::numeric_limits<A>::min()) worst = 1;
  }
  CHECK(worst <= 2 * std::numeric_limits<A>::epsilon());
  CHECK(got[0] == A(1));
}

}  // namespace

TEST_CASE("exponentials of weights") {
  require_exponentials<float>();
  require_exponentials<double>();
}

TEST_CASE("weights of a tile, float") { require_all<float>(); }
TEST_CASE("weights of a tile, double") { require_all<double>(); }

TEST_CASE("a head's decay is derived again when the length changes") {
  std::vector<std::byte> bytes(1 << 20);
  Arena arena = Workspace(bytes.data(), bytes.size()).arena();
  cpu::TileDecay<double, DecayKind::per_head> decay(arena);
  decay.restart();
  const Walk walk{std::vector<double>(200, -0.25), {}};
  for (const Stretch s : {Stretch{0, 64}, {64, 64}, {128, 3}, {0, 50}, {50, 64}, {64, 0}}) {
    decay.derive(walk, s);
    CHECK(decay.total() == Approx(-0.25 * static_cast<double>(s.size)));
    const auto m = decay.tile();
    for (Index i = 0; i < s.size; ++i) {
      CHECK(decay.left().from[i] == Approx(std::exp(-0.25 * static_cast<double>(i))));
      CHECK(decay.right().to[i] == Approx(std::exp(-0.25 * static_cast<double>(s.size - i))));
      CHECK(m(s.size - 1)[i] == Approx(std::exp(-0.25 * static_cast<double>(s.size - 1 - i))));
    }
  }
}

TEST_CASE("no decay has no weights") {
  Arena arena;
  cpu::TileDecay<float, DecayKind::none> decay(arena);
  CHECK(arena.used() == 0);
  CHECK(decay.left().from == nullptr);
  CHECK(decay.right().to == nullptr);
  CHECK(decay.total() == 0);
}

TEST_CASE("sums of log-decays never meet infinity") {
  CHECK(mask::bounded(-INFINITY) == mask::kCut);
  CHECK(mask::bounded(-1e300) == mask::kCut);
  CHECK(mask::bounded(-3.5) == -3.5);
  CHECK(std::exp(mask::kCut) == 0);
  CHECK(std::isfinite(1e6 * mask::kCut));
  // The horizon is where the smallest normal number lies.
  CHECK(std::exp(mask::kHorizon<float>) >= static_cast<double>(std::numeric_limits<float>::min()));
  CHECK(std::exp(mask::kHorizon<float>) <= 2 * static_cast<double>(std::numeric_limits<float>::min()));
  CHECK(std::exp(mask::kHorizon<double>) >= std::numeric_limits<double>::min());
  CHECK(std::exp(mask::kHorizon<double>) <= 2 * std::numeric_limits<double>::min());
}

TEST_CASE("the log of the mask between two places of a stretch") {
  const double c[] = {0, -1, -3, -3, -10};  // ℓ = −1, −2, 0, −7
  CHECK(mask::log_mask(c, 2, 2) == 0);
  CHECK(mask::log_mask(c, 3, 0) == -3);  // ℓ_0 + ℓ_1 + ℓ_2
  CHECK(mask::log_mask(c, 0, 3) == -9);  // ℓ_1 + ℓ_2 + ℓ_3
  CHECK(mask::log_mask(c, 1, 0) == -1);  // ℓ_0
  CHECK(mask::log_mask(c, 0, 1) == -2);  // ℓ_1
}
