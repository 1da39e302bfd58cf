#include "lion/nn/block.hpp"

#include "differences.hpp"
#include "lion/order/curves.hpp"

using namespace lion;
using namespace nn_test;

namespace {

const std::array<const char*, 6> mixers{"softmax", "linear", "decay", "selective", "hydra", "vim"};

/// A block of that mixer: attention under a mask, or a state space. Vim's has no MLP, and the other norm.
template <class S>
nn::Block<S> make(const std::string& mixer, Index orders, Index width, Index heads, Index hidden) {
  if (mixer == "vim") return {nn::RmsNorm<S>("b.norm", width), nn::VimMixer<S>("b.mixer", width, 3)};
  if (mixer == "hydra") {
    return nn::Block<S>::transformer("b", width, hidden, nn::HydraMixer<S>("b.mixer", width, 3, width / heads));
  }
  return nn::Block<S>::transformer("b", width, hidden, nn::AttentionMixer<S>("b.attn", width, heads, mixer, 1, orders));
}

/// Such a block over two samples of 1 + 3·2 tokens, and everything it writes to.
template <class S>
struct Setting {
  nn::Block<S> block;
  order::Permutation first = order::with_prefix(order::s_curve(3, 2), 1);
  order::Permutation second = order::with_prefix(order::s_curve_transposed(3, 2), 1);
  std::array<std::span<const Index>, 2> orders{first.span(), second.span()};
  nn::TokenBatch batch;
  Workspace memory, workspace;
  std::optional<nn::BlockTape<S>> tape;
  std::optional<nn::TrainingBuffers<S>> buffers;
  Tensor<S, 2> x, dy, y, dx;
  nn::Noise noise;

  Setting(const char* mixer, Index count, Index width = 6, Index heads = 2, Index hidden = 5)
      : block(make<S>(mixer, count, width, heads, hidden)),
        batch{2, 7, {orders.data(), count > 1 ? orders.size() : 0}},
        x(tensor<S, 2>({14, width}, 1)),
        dy(tensor<S, 2>({14, width}, 2)),
        y({14, width}),
        dx({14, width}) {
    fill(block, 3, 0.8);
    Arena counting;
    nn::BlockTape<S>(block, batch, counting);
    nn::TrainingBuffers<S>(block, batch, counting);
    memory.reserve(counting.used() + 64);
    Arena arena = memory.arena();
    tape.emplace(block, batch, arena);
    buffers.emplace(block, batch, arena);
  }

  void forward(Executor executor = {}) {
    std::copy_n(x.data(), x.size(), tape->x.data());
    block.forward_train(y, *tape, *buffers, batch, noise, workspace, executor);
  }

  void backward(Executor executor = {}) {
    block.for_each_parameter([](auto& p) { p.grad.fill(0); });
    std::copy_n(dy.data(), dy.size(), dx.data());
    block.backward(dx, *tape, *buffers, batch, noise, workspace, executor);
  }
};

}  // namespace

TEST_CASE("gradients of a block with every mixer, with one order and two, without and with noise") {
  for (const char* mixer : mixers) {
    for (const Index orders : {1, 2}) {
      for (const double noise : {0.0, 0.3}) {
        INFO(mixer << ", orders " << orders << ", noise " << noise);
        Setting<double> s(mixer, orders);
        s.noise = {noise, noise, nn::PlacedRandom(11, 0)};
        s.forward();
        s.backward();
        const auto f = [&] {
          s.forward();
          return inner(s.y, s.dy);
        };
        require_gradient("x", s.x.data(), s.x.size(), s.dx.data(), f);
        require_parameter_gradients(s.block, f);
      }
    }
  }
}

TEST_CASE("inference in place gives what training computes, in every form") {
  for (const char* mixer : mixers) {
    for (const Index orders : {1, 2}) {
      for (const char* form : {"auto", "full", "rnn", "chunk"}) {
        INFO(mixer << ", orders " << orders << ", form " << form);
        Setting<double> s(mixer, orders);
        s.forward();
        s.block.mixer.set_form(parse_form(form, 3));
        Tensor<double, 2> z({14, 6}), x = s.x.clone();
        Tensor<double, 1> memory({static_cast<Index>(s.block.buffer_bytes(s.batch) / sizeof(double) + 1)});
        memory.fill(std::nan(""));
        s.block.forward(x, {z, reinterpret_cast<std::byte*>(memory.data())}, s.batch, s.workspace, {});
        for (Index i = 0; i < x.size(); ++i) REQUIRE(x.data()[i] == Approx(s.y.data()[i]).epsilon(1e-11).margin(1e-12));
      }
    }
  }
}

TEST_CASE("a block computes the same bits for any number of threads") {
  for (const char* mixer : mixers) {
    INFO(mixer);
    Setting<float> s(mixer, 2, 12, 3, 30);
    s.noise = {0.2, 0.2, nn::PlacedRandom(11, 0)};
    s.forward();
    s.backward();
    const auto y = s.y.clone(), dx = s.dx.clone();
    std::vector<float> gradients, again;
    s.block.for_each_parameter(
        [&](auto& p) { gradients.insert(gradients.end(), p.grad.data(), p.grad.data() + p.size()); });
    for (const Index threads : {2, 3}) {
      ThreadPool pool(threads);
      s.forward(pool);
      s.backward(pool);
      again.clear();
      s.block.for_each_parameter([&](auto& p) { again.insert(again.end(), p.grad.data(), p.grad.data() + p.size()); });
      REQUIRE(std::equal(y.data(), y.data() + y.size(), s.y.data()));
      REQUIRE(std::equal(dx.data(), dx.data() + dx.size(), s.dx.data()));
      REQUIRE(gradients == again);
    }
  }
}

TEST_CASE("parameters carry the names and shapes of a timm state dict, and know where weight decay applies") {
  auto block = nn::Block<float>::transformer("blocks.3", 6, 24,
                                             nn::AttentionMixer<float>("blocks.3.attn", 6, 2, "selective", 1, 2));
  std::vector<std::string> names;
  block.for_each_parameter([&](nn::Parameter<float>& p) {
    names.push_back(p.name);
    REQUIRE(p.decay == (p.shape.size() > 1));
  });
  REQUIRE(names == std::vector<std::string>{"blocks.3.norm1.weight", "blocks.3.norm1.bias", "blocks.3.attn.qkv.weight",
                                            "blocks.3.attn.qkv.bias", "blocks.3.attn.proj.weight",
                                            "blocks.3.attn.proj.bias", "blocks.3.attn.a_i.weight",
                                            "blocks.3.attn.a_i.bias", "blocks.3.attn.a2_i.weight",
                                            "blocks.3.attn.a2_i.bias", "blocks.3.norm2.weight", "blocks.3.norm2.bias",
                                            "blocks.3.mlp.fc1.weight", "blocks.3.mlp.fc1.bias",
                                            "blocks.3.mlp.fc2.weight", "blocks.3.mlp.fc2.bias"});
}

TEST_CASE("decays start spread over the heads, selective ones around the same place") {
  nn::Decays<double, mask::Decay> decay({{"attn.a_i"}, 1}, 8, 4);
  nn::Decays<double, mask::Selective> selective({{"attn.a_i"}, 1}, 8, 4);
  decay.initialise(nn::PlacedRandom(1, 1));
  selective.initialise(nn::PlacedRandom(1, 1));
  Tensor<double, 2> z({3, 8});
  std::vector<double> per_head(4), per_token(12);
  decay.forward(z, 1, per_head.data(), {});
  selective.forward(z, 1, per_token.data(), {});
  for (Index h = 0; h < 4; ++h) {
    const double lambda = 1 - std::exp2(-1.0 - 2.0 * static_cast<double>(h));
    REQUIRE(std::exp(per_head[static_cast<std::size_t>(h)]) == Approx(lambda));
    REQUIRE(per_token[static_cast<std::size_t>(h)] == 0);  // the class token
    REQUIRE(std::exp(per_token[static_cast<std::size_t>(8 + h)]) == Approx(lambda));
  }
}

TEST_CASE("log σ is exact at both ends") {
  std::vector<float> x{-200, -30, 0, 30, 200};
  nn::log_sigmoid(x.data(), 5);
  REQUIRE(x[0] == -200);
  REQUIRE(x[1] == Approx(-30));
  REQUIRE(x[2] == Approx(-std::log(2.0)));
  REQUIRE(x[3] == Approx(-std::exp(-30.0)).epsilon(1e-5));
  REQUIRE(std::abs(x[4]) < 1e-37f);
}
