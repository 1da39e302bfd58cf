#include "attention/allocation.hpp"
#include "attention/pieces.hpp"

namespace {
using namespace lion;
using namespace lion::test;

template <class M, class F>
void require_no_allocation_in_pieces(F form) {
  using T = float;
  Random random(52);
  const AttentionDims d{1, 2, 1, 150, 140, 70};
  const Problem p = random_problem(random, d, M::decay, false);
  ThreadPool pool(2);
  const Executor executor = pool;
  const auto attention = attention_for<M, F, normalise::RowSum>(p, form);
  Setup<T, M> s(p, Layout::tokens);
  const View<T, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
  Summary<T> keys(d), queries(d);
  const auto mask = s.masks[0].mask;
  const AttentionUpstream<T> upstream{s.dy.view(), s.y.view(), row_sum};
  {
    Borrowed exact(attention.segment_workspace_size(s.in, executor));
    CHECK(allocations_in([&] { attention.summarise(s.in, mask, keys.view(), exact.workspace, executor); }) == 0);
    const Incoming<T> incoming{keys.to_later, keys.to_earlier};
    CHECK(allocations_in([&] {
            attention.forward_segment(s.in, mask, incoming, {s.y.view(), row_sum}, exact.workspace, executor);
          }) == 0);
  }
  Borrowed exact(attention.segment_backward_workspace_size(s.in, executor, true));
  CHECK(allocations_in([&] {
          attention.summarise_backward(s.in, mask, upstream, queries.view(), exact.workspace, executor);
        }) == 0);
  const IncomingBackward<T> incoming{{keys.to_later, keys.to_earlier}, {queries.to_later, queries.to_earlier}};
  CHECK(allocations_in([&] {
          attention.backward_segment(s.in, mask, incoming, upstream, {s.dq.view(), s.dk.view(), s.dv.view()},
                                     s.slopes[0], exact.workspace, executor);
        }) == 0);
  CHECK(allocations_in([&] { combine(keys.view(), queries.view(), keys.view()); }) == 0);
}

template <class M, class F>
void require_no_allocation_in_steps(F form) {
  Random random(53);
  const AttentionDims d{2, 2, 1, 1, 140, 70};
  const Problem p = random_problem(random, d, M::decay, false);
  const auto attention = attention_for<M, F, normalise::RowSum, direction::Forward>(p, form);
  Setup<float, M> s(p, Layout::dense);
  Tensor<float, 4> state({d.B, d.H, d.D, d.E + 1});
  Borrowed exact(attention.segment_workspace_size(s.in));
  CHECK(allocations_in([&] {
          for (int token = 0; token < 3; ++token) {
            attention.step(s.in, s.masks[0].mask, state.view(), {s.y.view()}, exact.workspace);
          }
        }) == 0);
}

}  // namespace

TEST_CASE("segments allocate nothing") {
  require_no_allocation_in_pieces<mask::Linear>(form::Full{});
  require_no_allocation_in_pieces<mask::Decay>(form::Chunk{64});
  require_no_allocation_in_pieces<mask::Selective>(form::Chunk{64});
  require_no_allocation_in_pieces<mask::Selective>(form::Rnn{});
}

TEST_CASE("a stream of tokens allocates nothing") {
  require_no_allocation_in_steps<mask::Linear>(form::Rnn{});
  require_no_allocation_in_steps<mask::Decay>(form::Chunk{64});
  require_no_allocation_in_steps<mask::Selective>(form::Rnn{});
}
