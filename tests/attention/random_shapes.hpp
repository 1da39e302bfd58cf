#pragma once
/// Every form against the dense definition over random shapes.

#include "support/attention_errors.hpp"
#include "support/attention_gated.hpp"
#include "support/attention_random.hpp"
#include "support/sanitized.hpp"

namespace lion::test {

#ifdef LION_TEST_ADDRESS_SANITIZER
constexpr Index kLengths[] = {0, 1, 2, 20, 63, 64, 65, 130}, kChunks[] = {7, 100};
#else
constexpr Index kLengths[] = {0, 1, 2, 20, 63, 64, 65, 130, 500}, kChunks[] = {1, 7, 64, 100, 1000};
#endif

inline std::string describe(const Problem& p) {
  const AttentionDims& d = p.dims;
  return "B " + std::to_string(d.B) + ", H " + std::to_string(d.H) + ", Hk " + std::to_string(d.Hk) + ", L " +
         std::to_string(d.L) + ", D " + std::to_string(d.D) + ", E " + std::to_string(d.E) + ", orders " +
         std::to_string(p.orders.size()) + ", cuts " + std::to_string(p.cu_seqlens.size()) + ", padding " +
         std::to_string(!p.key_mask.empty()) + ", epsilon " + std::to_string(p.epsilon);
}

template <class T, class M, class N, class Dir, class F>
void require_form(const Problem& p, const Answer& wanted, const RunOptions& options, F form, const std::string& name) {
  INFO("form " << name);
  require_close<M>(run<T>(attention_for<M, F, N, Dir>(p, form), p, options), wanted, p.dims, limits<T>());
}

/// The problem in the pair forms (full, chunk, auto share their code) and in the recurrent one.
template <class T, class M, class N, class Dir>
void require_forms(const Problem& p, const RunOptions& options) {
  INFO(describe(p));
  const Answer wanted = dense_answer(p);
  require_form<T, M, N, Dir>(p, wanted, options, form::Full{}, "full");
  require_form<T, M, N, Dir>(p, wanted, options, form::Rnn{}, "rnn");
  for (Index size : kChunks) {
    require_form<T, M, N, Dir>(p, wanted, options, form::Chunk{size}, "chunk of " + std::to_string(size));
  }
}

template <class T, class M, class N, class Dir>
void require_random_shapes(std::uint64_t seed) {
  Random random(seed);
  RandomOptions o;
  o.normalise = N::divides;
  o.past = Dir::past;
  o.future = Dir::future;
  for (Index L : kLengths) {
    const Index Hk = L == 500 ? 1 : 1 + random.below(2);
    const Index H = L == 500 ? 1 : Hk * (1 + random.below(2));
    const AttentionDims dims{
        L < 100 ? 2 : 1, H, Hk, L, random.pick<Index>({1, 3, 5, 8, 17, 33}), random.pick<Index>({1, 3, 5, 8, 17, 33})};
    o.orders = L == 500 ? 1 : 1 + random.below(3);
    o.packed = random.chance(0.35);
    o.padded = random.chance(0.35);
    const RunOptions options{random.pick({Layout::dense, Layout::tokens}), random.chance(0.5)};
    require_forms<T, M, N, Dir>(random_problem(random, dims, M::decay, M::gated, o), options);
  }
  o.orders = 2;
  o.packed = o.padded = true;
  require_forms<T, M, N, Dir>(random_problem(random, {2, 4, 2, 150, 5, 9}, M::decay, M::gated, o), {Layout::tokens});
  o = {N::divides, Dir::past, Dir::future};
  // Wider than a panel of products.
  require_forms<T, M, N, Dir>(random_problem(random, {1, 1, 1, 130, 200, 150}, M::decay, M::gated, o), {});
  // Nothing at all, of each kind.
  require_forms<T, M, N, Dir>(random_problem(random, {0, 2, 1, 9, 4, 3}, M::decay, M::gated, o), {});
  require_forms<T, M, N, Dir>(random_problem(random, {2, 0, 1, 9, 4, 3}, M::decay, M::gated, o), {});
  require_forms<T, M, N, Dir>(random_problem(random, {2, 2, 1, 9, 4, 0}, M::decay, M::gated, o), {});
}

/// Float and double, each with and without row sums, in each direction.
template <class M>
void require_random_shapes_of_every_kind() {
  using direction::Backward, direction::Both, direction::Forward, normalise::None, normalise::RowSum;
  require_random_shapes<double, M, RowSum, Both>(1);
  require_random_shapes<double, M, None, Both>(2);
  require_random_shapes<double, M, RowSum, Forward>(3);
  require_random_shapes<double, M, None, Backward>(4);
  require_random_shapes<float, M, RowSum, Both>(5);
  require_random_shapes<float, M, RowSum, Backward>(6);
  require_random_shapes<float, M, None, Forward>(7);
}

}  // namespace lion::test
