#include "attention/allocation_counter.hpp"
#include "lion/model/vision.hpp"
#include "lion/train/cuda/vision.hpp"
#include "simt/heap_memory.hpp"
#include "support/catch.hpp"

using namespace lion;

namespace {

/// Counts what it is asked to start: what the host does between kernels is left.
struct IdleQueue {
  int* started;

  template <class Kernel>
  void launch(const char*, const Shape<3>&, std::size_t, const typename Kernel::Parameters&) const {
    ++*started;
  }
  template <class T, class Out>
  void product(const cuda::Product<T, Out>&) const {
    ++*started;
  }
};

}  // namespace

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

TEST_CASE("what starts the kernels of a training step allocates nothing, in any form") {
  for (const char* mask : {"linear", "decay", "selective"}) {
    model::VisionConfig config;
    config.image_size = 32;
    config.embed_dim = 48;
    config.num_heads = 3;
    config.depth = 4;
    config.num_classes = 10;
    config.mask_type = mask;
    config.order = "s_curve";
    config.distilled = mask[0] == 'd';
    cuda::VisionTrainingIn<bfloat16, test::HeapMemory> training(model::Vision<float>(config), {.max_norm = 1});
    const Index samples = 3;
    const Tensor<bfloat16, 4> images({samples, 3, 32, 32});
    const std::vector<Index> labels(samples);
    cuda::VisionBatch<bfloat16> batch{images.view(), labels};
    if (config.distilled) batch.teacher_labels = labels;
    for (const char* form : {"full", "rnn", "chunk", "auto"}) {
      INFO(mask << ", form " << form);
      training.set_form(parse_form(form));
      const test::HeapMemory memory(training.workspace_size(samples));
      Workspace workspace(memory.data(), training.workspace_size(samples));
      double rate = 0, loss = 0;
      int started = 0;
      REQUIRE(test::allocations_in([&] {
                (void)training.workspace_size(samples);
                training.step(batch, &rate, &loss, workspace, IdleQueue{&started});
              }) == 0);
      REQUIRE(started > 100);
    }
  }
}
