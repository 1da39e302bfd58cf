#include "lion/model/vision.hpp"

#include <random>

#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

/// A small model of that attention, or of kind hydra or vim.
model::VisionConfig small(const std::string& mask, const char* order = "s_curve") {
  model::VisionConfig config;
  if (mask == "hydra" || mask == "vim") {
    config.kind = mask;
    config.d_state = 6;
    config.head_dim = 16;
  } else {
    config.mask_type = mask;
    config.order = order;
  }
  config.image_size = 12;
  config.patch_size = 2;
  config.embed_dim = 24;
  config.num_heads = 3;
  config.depth = 2;
  config.num_classes = 5;
  return config;
}

Tensor<float, 4> pictures(const Shape<4>& shape) {
  std::mt19937 random(3);
  Tensor<float, 4> images(shape);
  for (Index i = 0; i < images.size(); ++i) images.data()[i] = static_cast<float>(random() % 1000) / 500 - 1;
  return images;
}

bool same(const Tensor<float, 2>& a, const Tensor<float, 2>& b) {
  return std::equal(a.data(), a.data() + a.size(), b.data());
}

}  // namespace

TEST_CASE("the same bits for any number of threads, in inference and training") {
  for (const char* mask : {"softmax", "linear", "decay", "selective", "hydra", "vim"}) {
    INFO(mask);
    model::VisionConfig config = small(mask);
    config.drop_path = 0.3;
    config.dropout = 0.1;
    config.distilled = !config.middle() && (config.mask_type == "selective" || config.mask_type == "softmax");
    model::Vision<float> vision(config);
    const auto images = pictures({5, 3, 12, 12});
    Tensor<float, 2> logits({5, 5}), trained({5, 5}), again({5, 5}), dlogits({5, 5});
    for (Index i = 0; i < 25; ++i) dlogits.data()[i] = static_cast<float>(i % 4) - 1.5f;
    vision.forward(images, logits);
    vision.zero_grad();
    vision.forward_train(images, trained, {}, 7);
    vision.backward(dlogits);
    std::vector<std::vector<float>> gradients;
    for (const auto* p : vision.parameters()) gradients.emplace_back(p->grad.data(), p->grad.data() + p->size());
    for (const Index threads : {2, 3}) {
      ThreadPool pool(threads);
      vision.forward(images, again, pool);
      REQUIRE(same(again, logits));
      vision.zero_grad();
      vision.forward_train(images, again, pool, 7);
      REQUIRE(same(again, trained));
      vision.backward(dlogits, pool);
      std::size_t i = 0;
      for (const auto* p : vision.parameters()) {
        INFO(p->name);
        REQUIRE(std::equal(gradients[i].begin(), gradients[i].end(), p->grad.data()));
        ++i;
      }
    }
    vision.forward_train(images, again, {}, 8);
    REQUIRE_FALSE(same(again, trained));  // another seed, other noise
  }
}

TEST_CASE("forms change on a built model and give one result, in micro-batches as one by one") {
  for (const char* mask : {"linear", "decay", "selective", "hydra", "vim"}) {
    INFO(mask);
    model::Vision<float> vision(small(mask));
    const auto images = pictures({17, 3, 12, 16});  // 49 tokens each, positions made for 6 × 6
    Tensor<float, 2> logits({17, 5}), other({17, 5}), single({1, 5});
    vision.forward(images, logits);
    for (const auto& form : {parse_form("full"), parse_form("rnn"), parse_form("chunk", 7)}) {
      vision.set_form(form);
      vision.forward(images, other);
      for (Index i = 0; i < logits.size(); ++i) {
        REQUIRE(other.data()[i] == Approx(logits.data()[i]).epsilon(1e-4).margin(1e-5));
      }
    }
    vision.forward(View<const float, 4>(&images(13, 0, 0, 0), {1, 3, 12, 16}), single);
    for (Index c = 0; c < 5; ++c) REQUIRE(single(0, c) == Approx(other(13, c)).epsilon(1e-4).margin(1e-5));
  }
}

TEST_CASE("memory does not grow with the batch; borrowed memory of the stated size is enough") {
  const model::Vision<float> vision(small("selective"));
  const Shape<4> one{40, 3, 12, 12}, many{400, 3, 12, 12};
  REQUIRE(vision.activation_bytes(one) == vision.activation_bytes(many));
  REQUIRE(vision.attention_bytes(one) == vision.attention_bytes(many));
  // x, z, q, k, v of 13 images of 37 tokens; besides a few values per token
  const std::size_t buffer = sizeof(float) * 13 * 37 * 24;
  REQUIRE(vision.activation_bytes(many) > 5 * buffer);
  REQUIRE(vision.activation_bytes(many) < 6 * buffer);

  const auto images = pictures({24, 3, 12, 12});  // 13 and 11: an MLP takes the latter's tokens in fewer, larger blocks
  Tensor<float, 2> expected({24, 5}), logits({24, 5});
  nn::Scratch own;
  vision.forward(images, expected, own);
  REQUIRE(own.activations.size() == vision.activation_bytes(images.shape()));
  std::vector<unsigned char> activations(vision.activation_bytes(images.shape()), 0xff);  // NaN
  std::vector<unsigned char> attention(vision.attention_bytes(images.shape()), 0xff);
  nn::Scratch borrowed{Workspace(activations.data(), activations.size()),
                       Workspace(attention.data(), attention.size())};
  vision.forward(images, logits, borrowed);
  REQUIRE(same(logits, expected));
  nn::Scratch tight{Workspace(activations.data(), 1000), Workspace()};
  require_error<ArgumentError>(
      [&] { vision.forward(images, logits, tight); },
      "workspace: 1000 bytes given, expected at least " + std::to_string(vision.activation_bytes(images.shape())));
}

TEST_CASE("stochastic depth drops a branch per sample, ever more often over the depth, and scales what it keeps") {
  model::VisionConfig config = small("linear");
  config.depth = 3;
  config.drop_path = 0.4;
  constexpr Index samples = 400;
  model::Vision<float> vision(config);
  Tensor<float, 4> images({samples, 3, 2, 2});  // one picture for all
  images.fill(0.5f);
  const View<const float, 4> image(images.data(), {1, 3, 2, 2});
  Tensor<float, 2> logits({samples, 5}), kept({1, 5}), dropped({1, 5});
  std::vector<std::vector<bool>> drawn;
  for (const Index block : {0, 1, 2}) {
    for (const char* branch : {".attn.proj.bias", ".mlp.fc2.bias"}) {
      const std::string name = "blocks." + std::to_string(block) + branch;
      INFO(name);
      nn::Parameter<float>* bias = nullptr;
      for (nn::Parameter<float>* p : vision.parameters()) {
        if (p->name.starts_with("blocks.")) p->value.fill(0);
        if (p->name == name) bias = p;
      }
      const double rate = 0.2 * static_cast<double>(block);
      vision.forward(image, dropped);
      bias->value(3) = static_cast<float>(1 / (1 - rate));
      vision.forward(image, kept);
      bias->value(3) = 1;
      vision.forward_train(images, logits, {}, 5);
      const auto close = [&](Index b, const Tensor<float, 2>& to) {
        double apart = 0;
        for (Index c = 0; c < 5; ++c) apart += std::abs(static_cast<double>(logits(b, c) - to(0, c)));
        return apart < 1e-5;
      };
      Index count = 0;
      drawn.emplace_back();
      for (Index b = 0; b < samples; ++b) {
        REQUIRE(close(b, dropped) != close(b, kept));
        count += close(b, dropped);
        drawn.back().push_back(close(b, dropped));
      }
      REQUIRE(static_cast<double>(count) / samples == Approx(rate).margin(0.06));
    }
  }
  for (std::size_t i = 3; i < drawn.size(); ++i) REQUIRE(drawn[i] != drawn[i - 1]);  // each branch has its own draws
}

TEST_CASE("state spaces, too, take memory that does not grow with the batch, and no more than they say") {
  for (const char* kind : {"hydra", "vim"}) {
    const model::Vision<float> vision(small(kind));
    const auto images = pictures({15, 3, 12, 12});
    REQUIRE(vision.activation_bytes({400, 3, 12, 12}) == vision.activation_bytes({40, 3, 12, 12}));
    Tensor<float, 2> expected({15, 5}), logits({15, 5});
    nn::Scratch own;
    vision.forward(images, expected, own);
    std::vector<unsigned char> activations(vision.activation_bytes(images.shape()), 0xff);  // NaN
    std::vector<unsigned char> attention(vision.attention_bytes(images.shape()), 0xff);
    nn::Scratch borrowed{Workspace(activations.data(), activations.size()),
                         Workspace(attention.data(), attention.size())};
    vision.forward(images, logits, borrowed);
    REQUIRE(same(logits, expected));
  }
}

TEST_CASE("gradients are added until they are zeroed, and a model moves") {
  model::Vision<float> first(small("decay", "row_major"));
  const auto images = pictures({2, 3, 12, 12});
  Tensor<float, 2> logits({2, 5}), moved({2, 5}), dlogits({2, 5});
  dlogits.fill(0.5f);
  dlogits(1, 2) = -1;
  first.forward_train(images, logits);
  model::Vision<float> vision(std::move(first));
  vision.forward(images, moved);
  REQUIRE(moved(1, 1) == Approx(logits(1, 1)).epsilon(1e-4));
  vision.forward_train(images, logits);
  vision.backward(dlogits);
  const nn::Parameter<float>* head = vision.parameters().back();
  REQUIRE(head->name == "head.bias");
  REQUIRE(head->grad(2) == -0.5f);
  vision.forward_train(images, logits);
  vision.backward(dlogits);
  REQUIRE(head->grad(2) == -1.0f);
  REQUIRE(head->grad(0) == 2.0f);
  vision.zero_grad();
  for (const auto* p : vision.parameters()) REQUIRE(p->grad(0) == 0);
}

TEST_CASE("sizes of the presets: the paper's 86.6 M for ViT-B and LION-B, 104.0 M for Hydra-B, 97.6 M for Vim-B") {
  const auto count = [](model::VisionConfig config) {
    const Index depth = config.depth;
    config.depth = 1;  // the other blocks are alike: no need to fill 86 M values
    const Index one = model::Vision<float>(config).parameter_count();
    config.depth = 2;
    const Index block = model::Vision<float>(config).parameter_count() - one;
    return static_cast<double>(one + (depth - 1) * block) / 1e6;
  };
  const auto millions = [&](model::VisionConfig config, const char* mask, const char* order) {
    config.mask_type = mask;
    config.order = order;
    return count(config);
  };
  REQUIRE(count(model::VisionConfig::hydra_base_size()) == Approx(103.970632).epsilon(1e-9));
  REQUIRE(count(model::VisionConfig::vim_base_size()) == Approx(97.598440).epsilon(1e-9));
  auto base = model::VisionConfig::base_size();
  REQUIRE(base.depth == 12);
  base.distilled = true;
  REQUIRE(millions(base, "softmax", "row_major") == Approx(87.338192).epsilon(1e-9));  // DeiT-B distilled
  base.distilled = false;
  REQUIRE(millions(base, "softmax", "row_major") == Approx(86.567656).epsilon(1e-9));
  REQUIRE(millions(base, "linear", "row_major") == Approx(86.567656).epsilon(1e-9));
  REQUIRE(millions(base, "decay", "s_curve") == Approx(86.567656 + 24 * 12e-6).epsilon(1e-9));
  REQUIRE(millions(base, "selective", "row_major") == Approx(86.567656 + 12 * 12 * 769e-6).epsilon(1e-9));
  REQUIRE(millions(model::VisionConfig::small_size(), "softmax", "row_major") == Approx(22.050664).epsilon(1e-9));
  REQUIRE(millions(model::VisionConfig::tiny_size(), "softmax", "row_major") == Approx(5.717416).epsilon(1e-9));
}

TEST_CASE("initial weights come from the seed") {
  model::VisionConfig config = small("selective");
  config.distilled = true;
  const model::Vision<float> a(config), b(config);
  config.seed = 1;
  const model::Vision<float> c(config);
  for (std::size_t i = 0; i < a.parameters().size(); ++i) {
    const auto *p = a.parameters()[i], *q = b.parameters()[i], *r = c.parameters()[i];
    INFO(p->name);
    REQUIRE(std::equal(p->value.data(), p->value.data() + p->size(), q->value.data()));
    const bool drawn = p->shape.size() > 1 || p->name == "patch_embed.proj.bias";
    REQUIRE(std::equal(p->value.data(), p->value.data() + p->size(), r->value.data()) == !drawn);
    REQUIRE(p->decay == (p->shape.size() > 1 && !p->name.ends_with("_token") && p->name != "pos_embed"));
  }
}

TEST_CASE("wrong calls are answered with the argument, what came and what was expected") {
  model::Vision<float> vision(small("linear"));
  const auto images = pictures({2, 3, 12, 12});
  Tensor<float, 2> logits({2, 5}), wrong({2, 6});
  require_error<ArgumentError>(
      [&] {
        vision.forward(pictures({2, 3, 12, 13}), logits);
      },
      "vision: images has shape [2,3,12,13], expected height and width to be positive "
      "multiples of the patch size 2");
  require_error<ArgumentError>([&] { vision.forward(images, wrong); },
                               "vision: logits has shape [2,6], expected [2,5]");
  require_error<ArgumentError>([&] { vision.backward(logits); },
                               "vision: backward was called without a forward_train before it");
  require_error<ArgumentError>(
      [&] {
        vision.forward_train(pictures({0, 3, 12, 12}), Tensor<float, 2>({0, 5}));
      },
      "vision: images has 0 samples, expected at least 1 to train on");
  Tensor<float, 3> of_two({2, 2, 5});
  require_error<ArgumentError>([&] { vision.forward_train(images, of_two); },
                               "vision: logits has shape [2,2,5], expected [1,2,5]");
  vision.forward_train(images, logits);
  require_error<ArgumentError>([&] { vision.backward(wrong); }, "vision: dlogits has shape [2,6], expected [2,5]");
  require_error<ArgumentError>([&] { vision.backward(of_two); }, "vision: dlogits has shape [2,2,5], expected [1,2,5]");
  vision.forward(pictures({0, 3, 12, 12}), Tensor<float, 2>({0, 5}));  // nothing to do is no error
}
