// Sequences in pieces, each through the kernels.

#include "attention/pieces.hpp"

#include "simt/operator.hpp"

namespace {

using namespace lion;
using namespace lion::test;

template <class T, class M, class N, class Dir, class... Forms>
void require_pieces_of_kernels(std::uint64_t seed, Forms... forms) {
  for_each_cut<M, N, Dir>(seed, 4, [&](Random& random, const Problem& exact, const auto& cuts, bool keep) {
    const Problem p = rounded<T>(exact);
    const Answer wanted = dense_answer(p);
    const auto combined = [](const auto& x, const auto& y, const auto& out) { cuda::combine(Launcher{}, x, y, out); };
    const auto check = [&](auto form) {
      INFO(decltype(form)::name);
      const EmulatedAttention<M, decltype(form), N, Dir> attention{operator_for<M, N, Dir>(p, form)};
      require_close<M>(in_pieces<T, M, N>(random, p, cuts, keep, attention, combined), wanted, p.dims, limits<T>());
    };
    (check(forms), ...);
  });
}

}  // namespace

TEST_CASE("pieces of a decay per token, kernels in double") {
  require_pieces_of_kernels<double, mask::Selective, normalise::RowSum, direction::Both>(1, form::Chunk{32},
                                                                                         form::Rnn{});
}

TEST_CASE("pieces of a decay per head, kernels on tensor cores in half") {
  require_pieces_of_kernels<half, mask::Decay, normalise::RowSum, direction::Both>(2, form::Full{});
}

TEST_CASE("pieces without decay, kernels in float, causal") {
  require_pieces_of_kernels<float, mask::Linear, normalise::None, direction::Forward>(3, form::Rnn{}, form::Auto{});
}

TEST_CASE("pieces without decay in both directions, kernels in float") {
  require_pieces_of_kernels<float, mask::Linear, normalise::RowSum, direction::Both>(4, form::Chunk{64});
}

// A stream of a few tokens at a time, its state in one place.
TEST_CASE("steps of a causal stream, kernels in float") {
  Random random(5);
  const AttentionDims d{2, 2, 1, 90, 5, 6};
  RandomOptions o{true, true, false};
  Problem p = random_problem(random, d, mask::DecayKind::per_token, false, o);
  p.orders = {{}};
  const Answer wanted = dense_answer(p);
  const auto check = [&](auto form) {
    INFO(decltype(form)::name);
    const auto op = operator_for<mask::Selective, normalise::RowSum, direction::Forward>(p, form);
    Tensor<float, 4> state({d.B, d.H, d.D, d.E + 1});
    std::fill_n(state.data(), state.size(), 0.0f);
    std::vector<double> y = p.v;
    Index at = 0;
    for (const Index n : {1, 1, 70, 0, 2, 16}) {
      Setup<float, mask::Selective> s(segment_of(p, at, at + n), Layout::tokens);
      PoisonedScratch scratch(op.segment_workspace_size(s.in));
      Workspace workspace = scratch.workspace();
      op.template step<float>(Launcher{}, s.in, s.masks[0], state.view(), {s.y.view()}, workspace);
      paste(y, s.y.get(), d.L, d.E, at, at + n);
      at += n;
    }
    REQUIRE(at == d.L);
    CHECK(relative_error(y, wanted.y) <= limits<float>().outputs);
  };
  check(form::Rnn{});
  check(form::Chunk{64});
}
