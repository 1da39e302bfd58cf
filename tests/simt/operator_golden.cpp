#include "attention/golden.hpp"
#include "support/attention_emulated.hpp"

namespace {

using namespace lion;
using namespace lion::test;

template <class M, class N>
void require_forms(const Golden& g) {
  const Answer wanted = dense_answer(g.problem);  // δ, which the files do not have
  const auto one = [&](auto form, bool keep) {
    INFO(decltype(form)::name);
    const Answer got =
        run_emulated_backward<double>(operator_for<M, N, direction::Both>(g.problem, form), g.problem, keep);
    require_golden(got, g, limits<double>());
    if constexpr (N::divides) CHECK(relative_error(got.row_sum, wanted.row_sum) <= limits<double>().outputs);
  };
  one(form::Full{}, true);
  one(form::Chunk{32}, false);
  one(form::Rnn{}, false);
  one(form::Auto{}, true);
}

template <class M>
void require_goldens_of_kernels() {
  for_each_golden<M>([](const Golden& g) {
    g.problem.normalise ? require_forms<M, normalise::RowSum>(g) : require_forms<M, normalise::None>(g);
  });
}

}  // namespace

TEST_CASE("goldens of the linear mask, kernels emulated") { require_goldens_of_kernels<mask::Linear>(); }
TEST_CASE("goldens of the decay mask, kernels emulated") { require_goldens_of_kernels<mask::Decay>(); }
TEST_CASE("goldens of the selective mask, kernels emulated") { require_goldens_of_kernels<mask::Selective>(); }
