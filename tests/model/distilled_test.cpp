#include "lion/model/vision.hpp"
#include "nn/differences.hpp"
#include "support/catch.hpp"

using namespace lion;

namespace {

model::VisionConfig distilled(const char* mask) {
  model::VisionConfig config;
  config.image_size = 12;
  config.patch_size = 2;
  config.embed_dim = 24;
  config.num_heads = 3;
  config.depth = 2;
  config.num_classes = 5;
  config.mask_type = mask;
  config.order = "s_curve";
  config.distilled = true;
  return config;
}

void exchange(model::Vision<double>& vision, const std::string& a, const std::string& b) {
  nn::Parameter<double>*p = nullptr, *q = nullptr;
  for (nn::Parameter<double>* of : vision.parameters()) {
    if (of->name == a) p = of;
    if (of->name == b) q = of;
  }
  std::swap_ranges(p->value.data(), p->value.data() + p->size(), q->value.data());
}

}  // namespace

TEST_CASE("a distilled model's token is a second class token: exchanged with the first, it exchanges the heads") {
  for (const char* mask : {"softmax", "linear", "selective"}) {
    INFO(mask);
    model::VisionConfig config = distilled(mask);
    config.cls_tok = false;  // heads read their tokens all the same
    model::Vision<double> vision(config);
    const Tensor<double, 4> images = nn_test::tensor<double, 4>({3, 3, 16, 8}, 3);  // positions are made for 6 × 6
    Tensor<double, 3> each({2, 3, 5}), exchanged({2, 3, 5});
    Tensor<double, 2> mean({3, 5}), trained({3, 5});
    vision.forward_train(images, each);
    vision.forward(images, mean);
    vision.forward_train(images, trained);
    exchange(vision, "cls_token", "dist_token");
    exchange(vision, "head.weight", "head_dist.weight");
    for (nn::Parameter<double>* p : vision.parameters()) {
      if (p->name == "pos_embed") std::swap_ranges(p->value.data(), p->value.data() + 24, p->value.data() + 24);
    }
    vision.forward_train(images, exchanged);
    for (Index b = 0; b < 3; ++b) {
      for (Index c = 0; c < 5; ++c) {
        REQUIRE(std::abs(each(0, b, c) - each(1, b, c)) > 1e-6);
        REQUIRE(exchanged(1, b, c) == Approx(each(0, b, c)).epsilon(1e-9).margin(1e-12));
        REQUIRE(exchanged(0, b, c) == Approx(each(1, b, c)).epsilon(1e-9).margin(1e-12));
        REQUIRE(mean(b, c) == Approx((each(0, b, c) + each(1, b, c)) / 2).epsilon(1e-9).margin(1e-12));
        REQUIRE(trained(b, c) == Approx(mean(b, c)).epsilon(1e-9).margin(1e-12));
      }
    }
  }
}

TEST_CASE("gradients of a distilled model are its derivatives, of each head and of their mean") {
  for (const char* mask : {"linear", "decay", "selective"}) {
    INFO(mask);
    model::Vision<double> vision(distilled(mask));
    for (nn::Parameter<double>* p : vision.parameters()) {
      if (p->shape.size() == 1) continue;
      for (Index i = 0; i < p->size(); ++i) p->value(i) *= 10;  // tokens far from 0, where a norm is hardly smooth
    }
    const Tensor<double, 4> images = nn_test::tensor<double, 4>({2, 3, 6, 8}, 3);
    const Tensor<double, 3> dlogits = nn_test::tensor<double, 3>({2, 2, 5}, 5);
    Tensor<double, 3> logits({2, 2, 5});
    const auto loss = [&] {
      vision.forward_train(images, logits);
      return nn_test::inner(logits, dlogits);
    };
    vision.zero_grad();
    loss();
    vision.backward(dlogits);
    for (nn::Parameter<double>* p : vision.parameters()) {
      nn_test::require_gradient(p->name.c_str(), p->value.data(), p->size(), p->grad.data(), loss);
    }

    // what reaches the mean reaches each head by half
    std::vector<std::vector<double>> gradients;
    Tensor<double, 3> halves({2, 2, 5});
    Tensor<double, 2> whole({2, 5});
    for (Index i = 0; i < 10; ++i) {
      whole.data()[i] = dlogits.data()[i];
      halves.data()[i] = halves.data()[10 + i] = dlogits.data()[i] / 2;
    }
    vision.zero_grad();
    loss();
    vision.backward(halves);
    for (const auto* p : vision.parameters()) gradients.emplace_back(p->grad.data(), p->grad.data() + p->size());
    vision.zero_grad();
    loss();
    vision.backward(whole);
    std::size_t i = 0;
    for (const auto* p : vision.parameters()) {
      REQUIRE(std::equal(gradients[i].begin(), gradients[i].end(), p->grad.data()));
      ++i;
    }
  }
}
