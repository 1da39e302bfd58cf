#pragma once
/// After the door nothing is allocated: every call with a workspace of exactly the size it asks for.

#include "attention/allocation_counter.hpp"
#include "support/attention_random.hpp"
#include "support/attention_run.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

namespace lion::test {

/// Bytes at an odd address, of exactly the size asked for.
class Borrowed {
 public:
  explicit Borrowed(std::size_t size) : bytes_(size + 1), workspace(bytes_.data() + 1, size) {}

 private:
  std::vector<std::byte> bytes_;

 public:
  Workspace workspace;
};

template <class T, class M>
void require_no_allocation_of_form(const Problem& p, Executor executor, auto form) {
  using F = decltype(form);
  using A = accumulator_t<T>;
  const auto attention = attention_for<M, F, normalise::RowSum>(p, form);
  Setup<T, M> s(p, Layout::tokens);
  const View<A, 3> row_sum(s.row_sum.data(), s.row_sum_shape);
  const std::size_t orders = s.masks.size();
  {
    const std::size_t size = attention.workspace_size(s.in, executor, orders);
    const auto forward = [&](Workspace& w) { attention.forward(s.in, s.masks, {s.y.view(), row_sum}, w, executor); };
    Borrowed exact(size);
    CHECK(allocations_in([&] { forward(exact.workspace); }) == 0);
    Borrowed short_of_one(size - 1);
    require_error<ArgumentError>(
        [&] { forward(short_of_one.workspace); },
        "workspace: " + std::to_string(size - 1) + " bytes given, expected at least " + std::to_string(size));
    Workspace own;
    forward(own);
    CHECK(allocations_in([&] { forward(own); }) == 0);  // once grown it is kept
  }
  for (const bool keep : {true, false}) {
    const std::size_t size = attention.backward_workspace_size(s.in, executor, orders, keep);
    AttentionUpstream<T> upstream{s.dy.view()};
    if (keep) upstream = {s.dy.view(), s.y.view(), row_sum};
    const AttentionGradients<T> gradients{s.dq.view(), s.dk.view(), s.dv.view()};
    const auto backward = [&](Workspace& w) {
      attention.backward(s.in, s.masks, upstream, gradients, s.slopes, w, executor);
    };
    Borrowed exact(size);
    CHECK(allocations_in([&] { backward(exact.workspace); }) == 0);
    Borrowed short_of_one(size - 1);
    require_error<ArgumentError>(
        [&] { backward(short_of_one.workspace); },
        "workspace: " + std::to_string(size - 1) + " bytes given, expected at least " + std::to_string(size));
  }
}

template <class T, class M>
void require_no_allocation(bool serial = false) {
  ThreadPool pool(2);
  Random random(51);
  for (const AttentionDims& d : {AttentionDims{1, 2, 1, 200, 64, 64}, AttentionDims{1, 1, 1, 150, 200, 150}}) {
    for (const Index orders : {1, 2}) {
      const Problem p = random_problem(random, d, M::decay, false, {.orders = orders, .padded = orders == 2});
      INFO("D " << d.D << ", orders " << orders);
      const Executor executor = serial || orders == 2 ? Executor() : Executor(pool);
      require_no_allocation_of_form<T, M>(p, executor, form::Full{});
      require_no_allocation_of_form<T, M>(p, executor, form::Chunk{100});
      require_no_allocation_of_form<T, M>(p, executor, form::Rnn{});
    }
  }
}

}  // namespace lion::test
