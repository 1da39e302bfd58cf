#pragma once
/// Sequences in pieces: any split gives the answer of the whole.

#include <algorithm>

#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"

namespace lion::test {

/// The tokens [first, last) of every tensor [rows, L, width].
inline std::vector<double> cut(const std::vector<double>& x, Index L, Index width, Index first, Index last) {
  std::vector<double> part;
  const Index rows = static_cast<Index>(x.size()) / (std::max<Index>)(1, L * width);
  for (Index r = 0; r < rows; ++r) {
    part.insert(part.end(), x.begin() + (r * L + first) * width, x.begin() + (r * L + last) * width);
  }
  return part;
}

/// The reverse: puts a part back.
inline void paste(std::vector<double>& x, const std::vector<double>& part, Index L, Index width, Index first,
                  Index last) {
  const Index rows = static_cast<Index>(x.size()) / (std::max<Index>)(1, L * width), n = (last - first) * width;
  for (Index r = 0; r < rows; ++r) std::copy_n(part.begin() + r * n, n, x.begin() + (r * L + first) * width);
}

inline Problem segment_of(const Problem& p, Index first, Index last) {
  const AttentionDims& d = p.dims;
  Problem s = p;
  s.dims.L = last - first;
  s.q = cut(p.q, d.L, d.D, first, last);
  s.k = cut(p.k, d.L, d.D, first, last);
  s.v = cut(p.v, d.L, d.E, first, last);
  s.dy = cut(p.dy, d.L, d.E, first, last);
  s.log_lambda[0] = cut(p.log_lambda[0], d.L, 1, first, last);
  if (!p.key_mask.empty()) {
    s.key_mask.clear();
    for (Index b = 0; b < d.B; ++b) {
      s.key_mask.insert(s.key_mask.end(), p.key_mask.begin() + b * d.L + first, p.key_mask.begin() + b * d.L + last);
    }
  }
  return s;
}

/// A summary that owns its memory.
template <class A>
struct Summary {
  explicit Summary(const AttentionDims& d)
      : to_later({d.B, d.H, d.D, d.E + 1}), to_earlier({d.B, d.H, d.D, d.E + 1}), log_decay({d.B, d.H}) {}
  SegmentSummary<A> view() { return {to_later, to_earlier, log_decay}; }
  Tensor<A, 4> to_later, to_earlier;
  Tensor<A, 2> log_decay;
};

/// The summaries first … last−1 as one, bracketed at random, by the backend's combine(x, y, out); nothing at all is no
/// summary.
template <class A, class Combine>
std::unique_ptr<Summary<A>> combined(Random& random, std::vector<Summary<A>>& all, const AttentionDims& d,
                                     std::size_t first, std::size_t last, Combine&& combine) {
  if (first == last) return nullptr;
  auto result = std::make_unique<Summary<A>>(d);
  if (last - first == 1) {
    result->to_later = all[first].to_later.clone();
    result->to_earlier = all[first].to_earlier.clone();
    result->log_decay = all[first].log_decay.clone();
    return result;
  }
  const std::size_t middle = first + 1 + static_cast<std::size_t>(random.below(static_cast<Index>(last - first) - 1));
  auto x = combined(random, all, d, first, middle, combine), y = combined(random, all, d, middle, last, combine);
  const Index out = random.below(3);  // apart, or in place of either
  if (out == 0) combine(x->view(), y->view(), result->view());
  if (out == 1) combine(x->view(), y->view(), x->view());
  if (out == 2) combine(x->view(), y->view(), y->view());
  return out == 0 ? std::move(result) : out == 1 ? std::move(x) : std::move(y);
}

/// What comes into segment i from the others.
template <class A>
struct Arriving {
  std::unique_ptr<Summary<A>> before, after;
  template <class Combine>
  Arriving(Random& random, std::vector<Summary<A>>& all, const AttentionDims& d, std::size_t i, Combine&& combine)
      : before(combined(random, all, d, 0, i, combine)), after(combined(random, all, d, i + 1, all.size(), combine)) {}
  Incoming<A> views() const {
    Incoming<A> incoming;
    if (before) incoming.from_earlier = std::as_const(before->to_later).view();
    if (after) incoming.from_later = std::as_const(after->to_earlier).view();
    return incoming;
  }
};

/// The answer of the whole from its segments, cut at these places; `keep`: backward gets y and δ. `attention` is the
/// operator on a backend, `combine` the backend's.
template <class T, class M, class N, class Attention, class Combine>
Answer in_pieces(Random& random, const Problem& p, const std::vector<Index>& cuts, bool keep,
                 const Attention& attention, Combine&& combine) {
  using A = accumulator_t<T>;
  const AttentionDims& d = p.dims;
  Answer a;
  a.y = a.dv = p.v;
  a.dq = p.q;
  a.dk = p.k;
  a.dlog_lambda.resize(1);
  if (M::decay == mask::DecayKind::per_head) a.dlog_lambda[0].resize(static_cast<std::size_t>(d.H));
  if (M::decay == mask::DecayKind::per_token) a.dlog_lambda[0] = p.log_lambda[0];

  std::vector<std::unique_ptr<Setup<T, M>>> setups;
  std::vector<Summary<A>> keys, queries;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    setups.push_back(std::make_unique<Setup<T, M>>(segment_of(p, cuts[i], cuts[i + 1]), Layout::tokens));
    Setup<T, M>& s = *setups.back();
    PoisonedScratch scratch(attention.segment_workspace_size(s.in));
    Workspace workspace = scratch.workspace();
    attention.summarise(s.in, s.masks[0].mask, keys.emplace_back(d).view(), workspace);
  }
  for (std::size_t i = 0; i < setups.size(); ++i) {
    Setup<T, M>& s = *setups[i];
    const View<A, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
    PoisonedScratch scratch(attention.segment_workspace_size(s.in));
    Workspace workspace = scratch.workspace();
    const Arriving<A> arriving(random, keys, d, i, combine);
    attention.forward_segment(s.in, s.masks[0].mask, arriving.views(), {s.y.view(), row_sum}, workspace);
    paste(a.y, s.y.get(), d.L, d.E, cuts[i], cuts[i + 1]);
    PoisonedScratch backward_scratch(attention.segment_backward_workspace_size(s.in, {}, true));
    Workspace backward_workspace = backward_scratch.workspace();
    AttentionUpstream<T> upstream{s.dy.view()};
    if (N::divides) upstream = {s.dy.view(), s.y.view(), row_sum};
    attention.summarise_backward(s.in, s.masks[0].mask, upstream, queries.emplace_back(d).view(), backward_workspace);
  }
  for (std::size_t i = 0; i < setups.size(); ++i) {
    Setup<T, M>& s = *setups[i];
    const View<A, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
    AttentionUpstream<T> upstream{s.dy.view()};
    if (N::divides && keep) upstream = {s.dy.view(), s.y.view(), row_sum};
    PoisonedScratch scratch(attention.segment_backward_workspace_size(s.in, {}, N::divides && keep));
    Workspace workspace = scratch.workspace();
    const Arriving<A> arriving_keys(random, keys, d, i, combine), arriving_queries(random, queries, d, i, combine);
    attention.backward_segment(s.in, s.masks[0].mask, {arriving_keys.views(), arriving_queries.views()}, upstream,
                               {s.dq.view(), s.dk.view(), s.dv.view()}, s.slopes[0], workspace);
    paste(a.dq, s.dq.get(), d.L, d.D, cuts[i], cuts[i + 1]);
    paste(a.dk, s.dk.get(), d.L, d.D, cuts[i], cuts[i + 1]);
    paste(a.dv, s.dv.get(), d.L, d.E, cuts[i], cuts[i + 1]);
    const std::vector<double> slopes = s.storage[0].dlog_lambda();
    if constexpr (M::decay == mask::DecayKind::per_token) paste(a.dlog_lambda[0], slopes, d.L, 1, cuts[i], cuts[i + 1]);
    if constexpr (M::decay == mask::DecayKind::per_head) {
      for (std::size_t h = 0; h < slopes.size(); ++h) a.dlog_lambda[0][h] += slopes[h];
    }
  }
  return a;
}

/// check(random, problem, cuts, keep) for random problems and cuts.
template <class M, class N, class Dir, class Check>
void for_each_cut(std::uint64_t seed, int rounds, Check&& check) {
  Random random(seed);
  RandomOptions o{N::divides, Dir::past, Dir::future};
  for (int round = 0; round < rounds; ++round) {
    const Index L = random.pick<Index>({3, 40, 150, 200});
    o.padded = random.chance(0.3);
    Problem p = random_problem(random, {1 + random.below(2), 2, 1 + random.below(2), L, 5, 6}, M::decay, false, o);
    p.orders = {{}};
    std::vector<Index> cuts{0, L};
    for (Index i = random.below(6); i > 0; --i) cuts.push_back(random.below(L + 1));
    if (random.chance(0.5)) cuts.insert(cuts.end(), {L / 2, L / 2, L / 2 + 1});  // segments of no token and of one
    std::sort(cuts.begin(), cuts.end());
    std::string text;
    for (Index at : cuts) text += " " + std::to_string(at);
    INFO("cuts" << text << ", padded " << o.padded << ", round " << round);
    check(random, p, cuts, random.chance(0.5));
  }
}

template <class T, class M, class N, class Dir>
void require_pieces(std::uint64_t seed) {
  for_each_cut<M, N, Dir>(seed, 8, [](Random& random, const Problem& p, const std::vector<Index>& cuts, bool keep) {
    const Answer wanted = dense_answer(p);
    const auto check = [&](auto form, const char* name) {
      INFO("form " << name);
      const auto attention = attention_for<M, decltype(form), N, Dir>(p, form);
      const auto combined = [](const auto& x, const auto& y, const auto& out) { combine(x, y, out); };
      require_close<M>(in_pieces<T, M, N>(random, p, cuts, keep, attention, combined), wanted, p.dims, limits<T>());
    };
    check(form::Full{}, "full");
    check(form::Rnn{}, "rnn");
    check(form::Chunk{16}, "chunk of 16");
    check(form::Chunk{100}, "chunk of 100");
  });
}

template <class M>
void require_pieces_of_every_kind() {
  using direction::Backward, direction::Both, direction::Forward, normalise::None, normalise::RowSum;
  require_pieces<double, M, RowSum, Both>(31);
  require_pieces<double, M, None, Both>(32);
  require_pieces<double, M, RowSum, Forward>(33);
  require_pieces<double, M, None, Backward>(34);
  require_pieces<float, M, RowSum, Both>(35);
}

}  // namespace lion::test
