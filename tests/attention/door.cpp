#include "support/attention_random.hpp"
#include "support/attention_run.hpp"
#include "support/require_error.hpp"

// Every refusal of the front door, to the letter, with the outputs as they were.

namespace {
using namespace lion;
using namespace lion::test;

const AttentionDims kDims{2, 4, 2, 6, 3, 5};

Problem door_problem() {
  Random random(61);
  Problem p = random_problem(random, kDims, mask::DecayKind::per_token, false, {.hard = false});
  p.orders = {{}};
  return p;
}

/// A call with room for mistakes: whatever is changed, forward and backward are tried, and nothing may be written.
template <class M>
struct Door {
  using T = float;
  Attention<M, form::Chunk> attention{};
  Setup<T, M> s{door_problem(), Layout::tokens};
  AttentionInputs<T> in = s.in;
  std::vector<OrderedMask<M, T>> masks = s.masks;
  View<T, 3> row_sum{s.row_sum.data(), s.row_sum_shape};
  AttentionOutputs<T> out{s.y.view(), row_sum};
  AttentionUpstream<T> upstream{s.dy.view()};
  AttentionGradients<T> gradients{s.dq.view(), s.dk.view(), s.dv.view()};
  std::vector<MaskGradients<M, T>> mask_gradients = s.slopes;

  /// Whether every output is still the poison it began as.
  bool untouched() {
    const auto poison = [](const auto& values) {
      return std::all_of(values.begin(), values.end(), [](auto x) { return std::isnan(x); });
    };
    bool all = poison(s.row_sum);
    for (Laid<T>* x : {&s.y, &s.dq, &s.dk, &s.dv}) all = all && poison(x->get());
    for (auto& storage : s.storage) all = all && poison(storage.dlog_lambda());
    return all;
  }
  void require_forward(const std::string& message) {
    Workspace workspace;
    require_error<ArgumentError>([&] { attention.forward(in, masks, out, workspace); }, message);
    CHECK(untouched());
  }
  void require_backward(const std::string& message) {
    Workspace workspace;
    require_error<ArgumentError>([&] { attention.backward(in, masks, upstream, gradients, mask_gradients, workspace); },
                                 message);
    CHECK(untouched());
  }
  /// What both passes and their sizes refuse.
  void require_inputs(const std::string& message) {
    require_forward(message);
    require_backward(message);
    require_error<ArgumentError>([&] { attention.workspace_size(in); }, message);
    require_error<ArgumentError>([&] { attention.backward_workspace_size(in); }, message);
  }
};

/// The view with another shape over the same memory.
template <class V>
V reshaped(const V& view, const decltype(view.shape())& shape) {
  return V(view.data(), shape, view.strides());
}

}  // namespace

TEST_CASE("the door refuses inputs of wrong shapes") {
  Door<mask::Selective> d;
  SECTION("q absent") {
    d.in.q = {};
    d.require_inputs("attention: q is absent");
  }
  SECTION("k absent") {
    d.in.k = {};
    d.require_inputs("attention: k is absent");
  }
  SECTION("v absent") {
    d.in.v = {};
    d.require_inputs("attention: v is absent");
  }
  SECTION("stride of q") {
    d.in.q = {d.in.q.data(), d.in.q.shape(), {36, 9, 3, 2}};
    d.require_inputs("attention: q has stride 2 in its last dimension, expected 1");
  }
  SECTION("stride of k") {
    d.in.k = {d.in.k.data(), d.in.k.shape(), {36, 9, 3, -1}};
    d.require_inputs("attention: k has stride -1 in its last dimension, expected 1");
  }
  SECTION("stride of v") {
    d.in.v = {d.in.v.data(), d.in.v.shape(), {1, 1, 1, 0}};
    d.require_inputs("attention: v has stride 0 in its last dimension, expected 1");
  }
  SECTION("no width") {
    d.in.q = reshaped(d.in.q, {2, 2, 6, 0});
    d.require_inputs("attention: q has shape [2,2,6,0], expected a width of at least 1");
  }
  SECTION("k like q") {
    d.in.k = reshaped(d.in.k, {2, 2, 6, 2});
    d.require_inputs("attention: k has shape [2,2,6,2], expected [2,2,6,3] to match q");
  }
  SECTION("v like k") {
    d.in.v = reshaped(d.in.v, {2, 4, 5, 5});
    d.require_inputs("attention: v has shape [2,4,5,5], expected [2,*,6,*] to match k");
  }
  SECTION("heads") {
    d.in.v = reshaped(d.in.v, {2, 3, 6, 5});
    d.require_inputs("attention: q has 2 heads, expected a divisor of the 3 heads of v");
  }
  SECTION("no heads of q") {
    d.in.q = reshaped(d.in.q, {2, 0, 6, 3});
    d.in.k = d.in.q;
    d.require_inputs("attention: q has 0 heads, expected a divisor of the 4 heads of v");
  }
  SECTION("key_mask") {
    bool keep[12] = {};
    d.in.key_mask = {keep, {2, 5}};
    d.require_inputs("attention: key_mask has shape [2,5], expected [2,6] to match k");
  }
}

TEST_CASE("the door refuses lengths of packed sequences that are none") {
  Door<mask::Selective> d;
  const auto require = [&](std::vector<Index> cuts, const std::string& message) {
    d.in.cu_seqlens = cuts;
    d.require_inputs(message);
  };
  require({1, 6}, "attention: cu_seqlens[0] is 1, expected 0");
  require({0, 4, 3, 6}, "attention: cu_seqlens[2] is 3, expected at least 4");
  require({0, 4, 7}, "attention: cu_seqlens[2] is 7, expected the length 6");
  require({0}, "attention: cu_seqlens[0] is 0, expected the length 6");
}

TEST_CASE("the door refuses outputs of wrong shapes") {
  Door<mask::Selective> d;
  SECTION("y absent") {
    d.out.y = {};
    d.require_forward("attention: y is absent");
  }
  SECTION("y") {
    d.out.y = reshaped(d.out.y, {2, 4, 6, 4});
    d.require_forward("attention: y has shape [2,4,6,4], expected [2,4,6,5] to match v");
  }
  SECTION("stride of y") {
    d.out.y = {d.out.y.data(), d.out.y.shape(), {1, 1, 1, 2}};
    d.require_forward("attention: y has stride 2 in its last dimension, expected 1");
  }
  SECTION("row_sum") {
    d.out.row_sum = reshaped(d.out.row_sum, {2, 4, 5});
    d.require_forward("attention: row_sum has shape [2,4,5], expected [2,4,6] to match v");
  }
  SECTION("dq absent") {
    d.gradients.dq = {};
    d.require_backward("attention: dq is absent");
  }
  SECTION("dq") {
    d.gradients.dq = reshaped(d.gradients.dq, {2, 4, 6, 3});
    d.require_backward("attention: dq has shape [2,4,6,3], expected [2,2,6,3] to match q");
  }
  SECTION("dk") {
    d.gradients.dk = reshaped(d.gradients.dk, {2, 2, 6, 4});
    d.require_backward("attention: dk has shape [2,2,6,4], expected [2,2,6,3] to match k");
  }
  SECTION("dv") {
    d.gradients.dv = reshaped(d.gradients.dv, {1, 4, 6, 5});
    d.require_backward("attention: dv has shape [1,4,6,5], expected [2,4,6,5] to match v");
  }
  SECTION("dlog_lambda") {
    d.mask_gradients[0].dlog_lambda = reshaped(d.mask_gradients[0].dlog_lambda, {2, 4, 5});
    d.require_backward("attention: dlog_lambda has shape [2,4,5], expected [2,4,6] to match v");
  }
  SECTION("as many gradients as masks") {
    d.mask_gradients.clear();
    d.require_backward("attention: there are 0 mask gradients, expected 1");
  }
}

TEST_CASE("the door refuses upstream gradients of wrong shapes") {
  Door<mask::Selective> d;
  SECTION("dy absent") {
    d.upstream.dy = {};
    d.require_backward("attention: dy is absent");
  }
  SECTION("dy") {
    d.upstream.dy = reshaped(d.upstream.dy, {2, 4, 6, 6});
    d.require_backward("attention: dy has shape [2,4,6,6], expected [2,4,6,5] to match v");
  }
  SECTION("y alone") {
    d.upstream.y = d.s.y.view();
    d.require_backward("attention: row_sum is absent, expected y and row_sum both, or neither");
  }
  SECTION("row_sum alone") {
    d.upstream.row_sum = d.row_sum;
    d.require_backward("attention: y is absent, expected y and row_sum both, or neither");
  }
  SECTION("y") {
    d.upstream = {d.s.dy.view(), reshaped(d.s.y.view(), {2, 4, 5, 5}), d.row_sum};
    d.require_backward("attention: y has shape [2,4,5,5], expected [2,4,6,5] to match v");
  }
  SECTION("row_sum") {
    d.upstream = {d.s.dy.view(), d.s.y.view(), reshaped(d.row_sum, {2, 3, 6})};
    d.require_backward("attention: row_sum has shape [2,3,6], expected [2,4,6] to match v");
  }
}

TEST_CASE("the door refuses orders that are none") {
  Door<mask::Selective> d;
  const auto require = [&](std::vector<Index> order, const std::string& message) {
    d.masks[0].order = order;
    d.require_forward(message);
    d.require_backward(message);
  };
  require({0, 1, 2}, "attention: order has 3 entries, expected 6");
  require({0, 1, 2, 3, 4, 6}, "attention: order[5] is 6, expected a token of [0,6)");
  require({0, -1, 2, 3, 4, 5}, "attention: order[1] is -1, expected a token of [0,6)");
  require({0, 3, 2, 3, 4, 5}, "attention: order[3] is 3, which came before, expected a permutation");
  const std::vector<Index> cuts{0, 4, 6};
  d.in.cu_seqlens = cuts;
  require({0, 1, 2, 4, 3, 5}, "attention: order[3] is 4, expected a token of [0,4)");
  require({0, 1, 2, 3, 2, 5}, "attention: order[4] is 2, expected a token of [4,6)");
}

TEST_CASE("the door refuses masks that are wrong") {
  SECTION("none") {
    Door<mask::Selective> d;
    d.masks.clear();
    d.mask_gradients.clear();
    d.require_forward("attention: masks is empty, expected at least one");
    d.require_backward("attention: masks is empty, expected at least one");
  }
  SECTION("selective") {
    Door<mask::Selective> d;
    const auto log_lambda = d.masks[0].mask.log_lambda;
    const auto require = [&](const std::string& message) {
      d.require_forward(message);
      d.require_backward(message);
    };
    d.masks[0].mask.log_lambda = reshaped(log_lambda, {2, 2, 6});
    require("attention: log_lambda has shape [2,2,6], expected [2,4,6] to match v");
    d.masks[0].mask.log_lambda = {};
    require("attention: log_lambda has shape [0,0,0], expected [2,4,6] to match v");
    d.masks[0].mask.log_lambda = log_lambda;
    float& entry = d.s.storage[0].values[(1 * 4 + 2) * 6 + 3];
    entry = 0.5f;
    require("attention: log_lambda[1,2,3] is 0.500000, expected a value in [-inf, 0]");
    entry = std::numeric_limits<float>::quiet_NaN();
    require("attention: log_lambda[1,2,3] is nan, expected a value in [-inf, 0]");
    entry = std::numeric_limits<float>::infinity();
    require("attention: log_lambda[1,2,3] is inf, expected a value in [-inf, 0]");
  }
  SECTION("the second of two") {
    Door<mask::Selective> d;
    d.masks.push_back(d.masks[0]);
    d.mask_gradients.push_back(d.mask_gradients[0]);
    d.masks[1].mask.log_lambda = reshaped(d.masks[1].mask.log_lambda, {2, 4, 7});
    d.require_forward("attention: log_lambda has shape [2,4,7], expected [2,4,6] to match v");
    d.require_backward("attention: log_lambda has shape [2,4,7], expected [2,4,6] to match v");
  }
  SECTION("decay") {
    Door<mask::Decay> d;
    const auto log_lambda = d.masks[0].mask.log_lambda;
    d.masks[0].mask.log_lambda = reshaped(log_lambda, {2});
    d.require_forward("attention: log_lambda has shape [2], expected [4] to match v");
    d.masks[0].mask.log_lambda = log_lambda;
    d.s.storage[0].values[2] = 1e-3f;
    d.require_forward("attention: log_lambda[2] is 0.001000, expected a value in [-inf, 0]");
    d.require_backward("attention: log_lambda[2] is 0.001000, expected a value in [-inf, 0]");
    d.s.storage[0].values[2] = -1;
    d.mask_gradients[0].dlog_lambda = reshaped(d.mask_gradients[0].dlog_lambda, {5});
    d.require_backward("attention: dlog_lambda has shape [5], expected [4] to match v");
  }
}

TEST_CASE("the door refuses numbers that are none") {
  Door<mask::Selective> d;
  SECTION("scale") {
    d.attention.scale = NAN;
    d.require_inputs("attention: scale is nan, expected a finite number");
    d.attention.scale = -INFINITY;
    d.require_inputs("attention: scale is -inf, expected a finite number");
  }
  SECTION("epsilon") {
    d.attention.normaliser.epsilon = INFINITY;
    d.require_inputs("attention: epsilon is inf, expected a finite number");
  }
  SECTION("chunk") {
    d.attention.form.size = 0;
    d.require_inputs("attention: form::Chunk has size 0, expected at least 1");
    d.attention.form.size = -64;
    d.require_inputs("attention: form::Chunk has size -64, expected at least 1");
  }
}

TEST_CASE("the door refuses a borrowed workspace that is too small") {
  Door<mask::Selective> d;
  const std::size_t size = d.attention.workspace_size(d.in), backward = d.attention.backward_workspace_size(d.in);
  std::vector<std::byte> bytes(100);
  Workspace workspace(bytes.data(), bytes.size());
  require_error<ArgumentError>([&] { d.attention.forward(d.in, d.masks, d.out, workspace); },
                               "workspace: 100 bytes given, expected at least " + std::to_string(size));
  require_error<ArgumentError>(
      [&] { d.attention.backward(d.in, d.masks, d.upstream, d.gradients, d.mask_gradients, workspace); },
      "workspace: 100 bytes given, expected at least " + std::to_string(backward));
  CHECK(d.untouched());
}

TEST_CASE("the door lets through what is unusual but right") {
  Door<mask::Selective> d;
  Workspace workspace;
  SECTION("no row sums wanted, an order, packed sequences") {
    const std::vector<Index> order{2, 0, 1, 4, 3, 5}, cuts{0, 0, 3, 6, 6};
    d.in.cu_seqlens = cuts;
    d.masks[0].order = order;
    d.out.row_sum = {};
    d.attention.forward(d.in, d.masks, d.out, workspace);
    d.attention.backward(d.in, d.masks, d.upstream, d.gradients, d.mask_gradients, workspace);
    for (Laid<float>* x : {&d.s.y, &d.s.dq, &d.s.dk, &d.s.dv}) {
      for (double value : x->get()) CHECK(std::isfinite(value));
    }
  }
  SECTION("a stride that no one steps over") {
    Door<mask::Selective> one;
    float q[2 * 2 * 6] = {};
    one.in.q = one.in.k = View<const float, 4>(q, {2, 2, 6, 1}, {12, 6, 1, 77});
    one.attention.forward(one.in, one.masks, one.out, workspace);
    for (double value : one.s.y.get()) CHECK(value == 0);
  }
}
