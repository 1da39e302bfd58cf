#include "lion/form/cost.hpp"
#include "support/catch.hpp"

using namespace lion;
using mask::DecayKind;

namespace {

constexpr DecayKind kKinds[] = {DecayKind::none, DecayKind::per_head, DecayKind::per_token};

double cost_of(const form::Plan& plan, bool both, Index D, Index E) {
  if (plan.global) return form::cost_per_token(0, D, E, 1);
  return form::cost_per_token(plan.chunk, D, E, both ? 2 : 1);
}

}  // namespace

TEST_CASE("the cost of a token counts its pairs and the states it meets") {
  // math.md §3: C (D + E + 1) + 4 D (E + 1) for chunks in both directions.
  CHECK(form::cost_per_token(64, 64, 64, 2) == 64 * 129 + 4 * 64 * 65);
  CHECK(form::cost_per_token(100, 8, 3, 0) == 1200);
  CHECK(form::cost_per_token(0, 8, 3, 1) == 64);
}

TEST_CASE("auto takes one global state for a mask without decay as soon as it pays") {
  // 2 D (E + 1) < 1.1 L (D + E + 1) from L = 59 on, at D = E = 64.
  CHECK_FALSE(form::cheapest(DecayKind::none, true, 58, 64, 64, 64).global);
  CHECK(form::cheapest(DecayKind::none, true, 59, 64, 64, 64).global);
  CHECK(form::cheapest(DecayKind::none, true, 1 << 20, 64, 64, 64).global);
  CHECK_FALSE(form::cheapest(DecayKind::none, false, 1 << 20, 64, 64, 64).global);
}

TEST_CASE("auto takes every pair of a short sequence and chunks of a long one") {
  for (const DecayKind kind : {DecayKind::per_head, DecayKind::per_token}) {
    // L (D + E + 1) against C (D + E + 1) + 4 D (E + 1), at D = E = 64: from L = C + 129 on.
    CHECK(form::cheapest(kind, true, 192, 64, 64, 64).chunk == 192);
    CHECK(form::cheapest(kind, true, 193, 64, 64, 64).chunk == 64);
    CHECK(form::cheapest(kind, true, 160, 64, 64, 32).chunk == 160);
    CHECK(form::cheapest(kind, true, 161, 64, 64, 32).chunk == 32);
    CHECK(form::cheapest(kind, true, 6085, 64, 64, 32).chunk == 32);
    CHECK(form::cheapest(kind, false, 128, 64, 64, 64).chunk == 128);
    CHECK(form::cheapest(kind, false, 129, 64, 64, 64).chunk == 64);
    CHECK(form::cheapest(kind, true, 20, 1, 1, 64).chunk == 20);
  }
}

TEST_CASE("a plan of auto costs no more than all pairs, nor than chunks where they exist") {
  for (const DecayKind kind : kKinds) {
    for (const bool both : {true, false}) {
      for (const Index width : {1, 16, 64, 200}) {
        for (const Index L : {0, 1, 63, 65, 129, 500, 4096}) {
          const Index size = width > 16 ? 32 : 64;
          const form::Plan plan = form::plan(form::Auto{}, kind, both, L, width, width, size);
          CHECK(plan.chunk >= 1);
          const bool whole = !plan.global && plan.chunk >= L;
          const double cost = whole ? form::cost_per_token(L, width, width, 0) : cost_of(plan, both, width, width);
          CHECK(cost <= 1.1 * form::cost_per_token((std::max<Index>)(L, 1), width, width, 0));
          if (L > size) CHECK(cost <= form::cost_per_token(size, width, width, both ? 2 : 1));
        }
      }
    }
  }
}

TEST_CASE("the other forms are what they say") {
  for (const DecayKind kind : kKinds) {
    for (const bool both : {true, false}) {
      const bool global = kind == DecayKind::none && both;
      CHECK(form::plan(form::Full{}, kind, both, 500, 8, 8).chunk == 500);
      CHECK_FALSE(form::plan(form::Full{}, kind, both, 500, 8, 8).global);
      CHECK(form::plan(form::Full{}, kind, both, 0, 8, 8).chunk == 1);
      CHECK(form::plan(form::Chunk{7}, kind, both, 500, 8, 8).chunk == 7);
      CHECK(form::plan(form::Chunk{7}, kind, both, 500, 8, 8).global == global);
      CHECK(form::plan(form::Rnn{}, kind, both, 500, 8, 8).global == global);
    }
  }
}
