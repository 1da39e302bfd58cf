#include "attention/allocation_counter.hpp"
#include "lion/model/vision.hpp"
#include "support/catch.hpp"

using namespace lion;

TEST_CASE("inference allocates nothing once its scratch has the size, at any image size and in any form") {
  for (const char* mask : {"softmax", "linear", "decay", "selective", "hydra", "vim"}) {
    model::VisionConfig config;
    config.image_size = 32;
    config.embed_dim = 384;  // wide enough for products that Eigen would pack on the heap
    config.num_heads = 6;
    config.depth = 1;
    config.num_classes = 200;
    if (mask[0] == 'h' || mask[0] == 'v') {
      config.kind = mask;
    } else {
      config.mask_type = mask;
      config.order = "s_curve";
    }
    config.cls_tok = config.kind == "vim";
    config.distilled = config.mask_type == "softmax";
    model::Vision<double> vision(config);
    Tensor<double, 4> images({3, 3, 160, 144});
    Tensor<double, 2> logits({3, 200});
    nn::Scratch scratch;
    ThreadPool pool(2);
    for (const char* form : {"full", "rnn", "chunk", "auto"}) {
      INFO(mask << ", form " << form);
      vision.set_form(parse_form(form));
      vision.forward(images, logits, scratch, pool);
      REQUIRE(test::allocations_in([&] { vision.forward(images, logits, scratch, pool); }) == 0);
    }
  }
}
