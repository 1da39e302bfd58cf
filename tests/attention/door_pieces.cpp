#include "attention/pieces.hpp"
#include "support/require_error.hpp"

// What segments and streams refuse, to the letter, with the outputs as they were.

namespace {
using namespace lion;
using namespace lion::test;
using M = mask::Selective;
using T = float;

const AttentionDims kDims{2, 4, 2, 6, 3, 5};

struct Door {
  Random random{71};
  Problem p = random_problem(random, kDims, M::decay, false, {.hard = false});
  Setup<T, M> s{p, Layout::dense};
  Attention<M, form::Chunk> attention{};
  Attention<M, form::Chunk, backend::Cpu, normalise::RowSum, direction::Forward> causal{};
  M::Parameters<T> mask = s.masks[0].mask;
  View<T, 3> row_sum{s.row_sum.data(), s.row_sum_shape};
  AttentionUpstream<T> upstream{s.dy.view(), s.y.view(), row_sum};
  Summary<T> summary{kDims}, other{kDims};
  Tensor<T, 4> small{{2, 4, 3, 5}};
  Workspace workspace;

  Door() {
    for (Summary<T>* x : {&summary, &other}) {
      x->to_later.fill(7);
      x->to_earlier.fill(7);
      x->log_decay.fill(7);
    }
  }
  bool untouched() {
    bool all = true;
    for (Laid<T>* x : {&s.y, &s.dq, &s.dk, &s.dv}) {
      for (double value : x->get()) all = all && std::isnan(value);
    }
    for (double value : s.storage[0].dlog_lambda()) all = all && std::isnan(value);
    for (Tensor<T, 4>* x : {&summary.to_later, &summary.to_earlier}) {
      all = all && std::all_of(x->data(), x->data() + x->size(), [](T value) { return value == 7; });
    }
    return all;
  }
  void require(auto&& call, const std::string& message) {
    require_error<ArgumentError>(call, message);
    CHECK(untouched());
  }
  void summarise(const SegmentSummary<T>& out) { attention.summarise(s.in, mask, out, workspace); }
  void summarise_backward(const SegmentSummary<T>& out) {
    attention.summarise_backward(s.in, mask, upstream, out, workspace);
  }
  void forward(const Incoming<T>& incoming) {
    attention.forward_segment(s.in, mask, incoming, {s.y.view()}, workspace);
  }
  void backward(const IncomingBackward<T>& incoming) {
    attention.backward_segment(s.in, mask, incoming, upstream, {s.dq.view(), s.dk.view(), s.dv.view()}, s.slopes[0],
                               workspace);
  }
  void step(const View<T, 4>& state) { causal.step(s.in, mask, state, {s.y.view()}, workspace); }
};

}  // namespace

TEST_CASE("segments and streams refuse packed sequences") {
  Door d;
  const std::vector<Index> cuts{0, 2, 6};
  d.s.in.cu_seqlens = cuts;
  const std::string message = "attention: cu_seqlens is given, expected none for a segment";
  d.require([&] { d.summarise(d.summary.view()); }, message);
  d.require([&] { d.summarise_backward(d.summary.view()); }, message);
  d.require([&] { d.forward({}); }, message);
  d.require([&] { d.backward({}); }, message);
  d.require([&] { d.step(d.summary.to_later); }, message);
}

TEST_CASE("segments and streams refuse states of wrong shapes") {
  Door d;
  const std::string tail = " has shape [2,4,3,5], expected [2,4,3,6]";
  const auto& [later, earlier, log_decay] = d.summary.view();
  for (const auto& summarise : {&Door::summarise, &Door::summarise_backward}) {
    d.require([&] { (d.*summarise)({d.small, earlier, log_decay}); }, "attention: summary.to_later" + tail);
    d.require([&] { (d.*summarise)({later, d.small, log_decay}); }, "attention: summary.to_earlier" + tail);
    d.require([&] { (d.*summarise)({{}, earlier, log_decay}); }, "attention: summary.to_later is absent");
    d.require([&] { (d.*summarise)({later, {}, log_decay}); }, "attention: summary.to_earlier is absent");
    d.require(
        [&] {
          (d.*summarise)({later, earlier, {}});
        },
        "attention: summary.log_decay has shape [0,0], expected [2,4]");
    const View<T, 4> columns(later.data(), later.shape(), {1, 1, 1, 8});
    d.require(
        [&] {
          (d.*summarise)({columns, earlier, log_decay});
        },
        "attention: summary.to_later has stride 8 in its last dimension, expected 1");
  }
  d.require([&] { d.forward({d.small, {}}); }, "attention: incoming.from_earlier" + tail);
  d.require([&] { d.forward({{}, d.small}); }, "attention: incoming.from_later" + tail);
  d.require([&] { d.backward({{d.small, {}}, {}}); }, "attention: incoming.keys.from_earlier" + tail);
  d.require([&] { d.backward({{{}, d.small}, {}}); }, "attention: incoming.keys.from_later" + tail);
  d.require([&] { d.backward({{}, {d.small, {}}}); }, "attention: incoming.queries.from_earlier" + tail);
  d.require([&] { d.backward({{}, {{}, d.small}}); }, "attention: incoming.queries.from_later" + tail);
  d.require([&] { d.step(d.small); }, "attention: state" + tail);
  d.require([&] { d.step({}); }, "attention: state is absent");
}

TEST_CASE("segments refuse what forward and backward refuse") {
  Door d;
  SECTION("masks") {
    d.s.storage[0].values[0] = 1;
    const std::string message = "attention: log_lambda[0,0,0] is 1.000000, expected a value in [-inf, 0]";
    d.require([&] { d.summarise(d.summary.view()); }, message);
    d.require([&] { d.summarise_backward(d.summary.view()); }, message);
    d.require([&] { d.forward({}); }, message);
    d.require([&] { d.backward({}); }, message);
    d.require([&] { d.step(d.summary.to_later); }, message);
  }
  SECTION("scale") {
    d.attention.scale = NAN;
    const std::string message = "attention: scale is nan, expected a finite number";
    d.require([&] { d.summarise(d.summary.view()); }, message);
    d.require([&] { d.summarise_backward(d.summary.view()); }, message);
    d.require([&] { d.forward({}); }, message);
    d.require([&] { d.backward({}); }, message);
  }
  SECTION("a summary of gradients needs y and row sums") {
    d.upstream = {d.s.dy.view()};
    d.require([&] { d.summarise_backward(d.summary.view()); },
              "attention: y and row_sum are absent, expected both for a segment's summary");
  }
}

TEST_CASE("summaries of other shapes do not combine") {
  Door d;
  const auto x = d.summary.view();
  Summary<T> y({2, 4, 2, 6, 3, 4});
  d.require([&] { combine(x, y.view(), x); }, "combine: y.to_later has shape [2,4,3,5], expected [2,4,3,6]");
  d.require([&] { combine(y.view(), y.view(), x); }, "combine: out.to_later has shape [2,4,3,6], expected [2,4,3,5]");
  d.require(
      [&] {
        combine(x, {x.to_later, d.small, x.log_decay}, x);
      },
      "combine: y.to_earlier has shape [2,4,3,5], expected [2,4,3,6]");
  d.require(
      [&] {
        combine(x, x, SegmentSummary<T>{x.to_later, x.to_earlier, {}});
      },
      "combine: out.log_decay has shape [0,0], expected [2,4]");
}
