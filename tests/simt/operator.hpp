#pragma once
/// The operator's kernels, forward and backward, against the dense definition over random shapes.

#include "support/attention_emulated.hpp"
#include "support/attention_errors.hpp"
#include "support/attention_gated.hpp"
#include "support/attention_random.hpp"

namespace lion::test {

/// The problem as tensors of T hold it: the definition in float64 is that of the rounded values.
template <class T>
Problem rounded(Problem p) {
  for (std::vector<double>* x : {&p.q, &p.k, &p.v, &p.dy}) {
    for (double& value : *x) value = static_cast<double>(static_cast<T>(value));
  }
  return p;
}

template <class T, class M, class N, class Dir, class F>
void require_kernels(const Problem& p, const Answer& wanted, F form, bool keep, const EmulatedOptions& options,
                     const std::string& name) {
  INFO("form " << name << ", seed " << options.seed << ", kept " << keep);
  const Answer got = run_emulated_backward<T>(operator_for<M, N, Dir>(p, form), p, keep, options);
  require_close<M>(got, wanted, p.dims, limits<T>());
  if constexpr (N::divides) CHECK(relative_error(got.row_sum, wanted.row_sum) <= limits<T>().outputs);
}

/// The problem in every form.
template <class T, class M, class N, class Dir>
void require_forms_of_kernels(const Problem& exact, const EmulatedOptions& options) {
  const Problem p = rounded<T>(exact);
  const Answer wanted = dense_answer(p);
  const AttentionDims& d = p.dims;
  INFO("B " << d.B << ", H " << d.H << ", Hk " << d.Hk << ", L " << d.L << ", D " << d.D << ", E " << d.E << ", orders "
            << p.orders.size() << ", cuts " << p.cu_seqlens.size() << ", padding " << !p.key_mask.empty());
  require_kernels<T, M, N, Dir>(p, wanted, form::Full{}, true, options, "full");
  require_kernels<T, M, N, Dir>(p, wanted, form::Chunk{40}, false, options, "chunk of 40");
  require_kernels<T, M, N, Dir>(p, wanted, form::Chunk{128}, true, options, "chunk of 128");
  require_kernels<T, M, N, Dir>(p, wanted, form::Chunk{(std::numeric_limits<Index>::max)()}, false, options,
                                "one chunk");
  require_kernels<T, M, N, Dir>(p, wanted, form::Rnn{}, true, options, "rnn");
}

/// Lengths about a tile's, widths that fill none and one, every way to lay tokens out, in every form.
template <class T, class M, class N, class Dir>
void require_operator(std::uint64_t seed) {
  Random random(seed);
  RandomOptions o;
  o.normalise = N::divides;
  o.past = Dir::past;
  o.future = Dir::future;
  const auto problem = [&](const AttentionDims& dims) { return random_problem(random, dims, M::decay, M::gated, o); };
  for (Index L : {0, 1, 63, 64, 65, 150, 200}) {
    const Index Hk = L >= 150 ? 1 : 1 + random.below(2), H = L >= 150 ? 1 : Hk * (1 + random.below(2));
    const AttentionDims dims{
        L < 100 ? 2 : 1, H, Hk, L, random.pick<Index>({1, 5, 17, 32}), random.pick<Index>({3, 8, 32})};
    o.orders = L == 200 ? 1 : 1 + random.below(2);
    o.packed = random.chance(0.5);
    o.padded = random.chance(0.5);
    const Layout layout = random.pick({Layout::dense, Layout::tokens});
    require_forms_of_kernels<T, M, N, Dir>(problem(dims), {layout, static_cast<unsigned>(L), L % 2 == 0});
  }
  o = {N::divides, Dir::past, Dir::future};
  require_forms_of_kernels<T, M, N, Dir>(problem({1, 1, 1, 130, 64, 64}), {});
  require_forms_of_kernels<T, M, N, Dir>(problem({1, 2, 2, 70, 33, 50}), {Layout::tokens, 7});
  require_forms_of_kernels<T, M, N, Dir>(problem({1, 1, 1, 90, 65, 128}), {Layout::dense, 3, true});
  // Nothing at all, of each kind.
  for (const AttentionDims& none : {AttentionDims{0, 2, 1, 9, 4, 3}, {2, 0, 1, 9, 4, 3}, {2, 2, 1, 9, 4, 0}}) {
    require_forms_of_kernels<T, M, N, Dir>(problem(none), {});
  }
}

}  // namespace lion::test
