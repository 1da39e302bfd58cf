#include "lion/cuda/cost.hpp"
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
  CHECK_FALSE(form::cheapest(DecayKind::none, true, 58, 64, 64).global);
  CHECK(form::cheapest(DecayKind::none, true, 59, 64, 64).global);
  CHECK(form::cheapest(DecayKind::none, true, 1 << 20, 64, 64).global);
  CHECK_FALSE(form::cheapest(DecayKind::none, false, 1 << 20, 64, 64).global);
}

TEST_CASE("auto takes every pair of a short sequence and chunks of a long one") {
  for (const DecayKind kind : {DecayKind::per_head, DecayKind::per_token}) {
    // L (D + E + 1) against 32 (D + E + 1) + 4 D (E + 1), at D = E = 64: from L = 161 on.
    CHECK(form::cheapest(kind, true, 160, 64, 64).chunk == 160);
    CHECK(form::cheapest(kind, true, 161, 64, 64).chunk == 32);
    CHECK(form::cheapest(kind, true, 6085, 64, 64).chunk == 32);
    // 2 D (E + 1) in one direction.
    CHECK(form::cheapest(kind, false, 96, 64, 64).chunk == 96);
    CHECK(form::cheapest(kind, false, 97, 64, 64).chunk == 32);
    CHECK(form::cheapest(kind, true, 20, 1, 1).chunk == 20);
  }
}

TEST_CASE("a plan of auto costs no more than all pairs, nor than chunks where they exist") {
  for (const DecayKind kind : kKinds) {
    for (const bool both : {true, false}) {
      for (const Index width : {1, 16, 64, 200}) {
        for (const Index L : {0, 1, 63, 65, 129, 500, 4096}) {
          const form::Plan plan = form::plan(form::Auto{}, kind, both, L, width, width);
          CHECK(plan.chunk >= 1);
          const bool whole = !plan.global && plan.chunk >= L;
          const double cost = whole ? form::cost_per_token(L, width, width, 0) : cost_of(plan, both, width, width);
          CHECK(cost <= 1.1 * form::cost_per_token((std::max<Index>)(L, 1), width, width, 0));
          if (L > form::kAutoChunk) CHECK(cost <= form::cost_per_token(form::kAutoChunk, width, width, both ? 2 : 1));
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

TEST_CASE("on a GPU nothing that there is more of costs less") {
  for (const DecayKind kind : kKinds) {
    for (const form::Plan& plan : {form::Plan{64}, form::Plan{256}, form::Plan{1 << 30}, form::Plan{64, true}}) {
      if (plan.global && kind != DecayKind::none) continue;
      for (const Index heads : {1, 12, 768}) {
        for (const Index length : {0, 1, 64, 65, 197, 1000, 6085, 65536}) {
          INFO("chunk " << plan.chunk << ", heads " << heads << ", length " << length);
          const cuda::CostShape shape{kind, true, heads, length};
          const double least = cuda::cost(shape, plan);
          CHECK(least >= 3000);  // a kernel's start
          const auto grows = [&](auto&& change) {
            cuda::CostShape other = shape;
            change(other);
            CHECK(cuda::cost(other, plan) >= least);
          };
          grows([](cuda::CostShape& s) { s.length += 64; });
          grows([](cuda::CostShape& s) { s.length *= 2; });
          grows([](cuda::CostShape& s) { s.heads += 1; });
          grows([](cuda::CostShape& s) { s.heads *= 3; });
          grows([](cuda::CostShape& s) { s.width = 128; });
          grows([](cuda::CostShape& s) { s.element = 4, s.tensor = false; });
          cuda::CostShape causal = shape;
          causal.both_directions = false;
          CHECK(cuda::cost(causal, plan) <= least);
        }
      }
    }
  }
}

TEST_CASE("auto on a GPU takes what costs least: all pairs of a short sequence, of few heads a longer one") {
  for (const DecayKind kind : kKinds) {
    for (const bool both : {true, false}) {
      Index full[3] = {};  // the longest of these sequences that is one chunk, for 1, 12, 768 heads
      for (int i = 0; i < 3; ++i) {
        for (const Index length : {0, 1, 64, 128, 197, 256, 400, 512, 1024, 2048, 4096, 6085, 24337, 65536, 1 << 20}) {
          const cuda::CostShape shape{kind, both, i == 0 ? 1 : i == 1 ? 12 : 768, length};
          const form::Plan plan = cuda::cheapest(shape);
          REQUIRE(plan.chunk >= 1);
          for (const Index chunk : {64, 128, 1024}) CHECK(cuda::cost(shape, plan) <= cuda::cost(shape, {chunk, false}));
          CHECK(cuda::cost(shape, plan) <= cuda::cost(shape, {1 << 30, false}));
          if (!plan.global && plan.chunk >= length) full[i] = length;
          if (!plan.global && plan.chunk < length) CHECK(plan.chunk % shape.tile == 0);
          CHECK(plan.global <= (kind == DecayKind::none && both));
        }
      }
      CHECK(full[0] >= full[1]);
      CHECK(full[1] >= full[2]);
      CHECK(full[2] >= 64);
      CHECK(full[0] < 1 << 20);
    }
  }
  // The paper's base model, 64 images, bfloat16: 224 px is one chunk, 512 px and more are several.
  CHECK(cuda::cheapest({DecayKind::per_token, true, 768, 197}).chunk == 197);
  CHECK(cuda::cheapest({DecayKind::per_token, true, 768, 1025}).chunk == 128);
  CHECK(cuda::cheapest({DecayKind::none, true, 768, 6085}).global);
}
