// The vision model in kernels, against the model on the CPU and the golden files.

#include "lion/model/cuda/vision.hpp"

#include "model/golden.hpp"
#include "simt/layers.hpp"
#include "simt/small_model.hpp"
#include "support/require_error.hpp"

namespace {

using namespace lion;
using namespace lion::test;

template <class T>
std::vector<double> run(cuda::VisionIn<T, HeapMemory>& model, const Tensor<float, 4>& images, unsigned seed = 0) {
  Tensor<T, 4> rounded(images.shape());
  for (Index i = 0; i < images.size(); ++i) rounded.data()[i] = static_cast<T>(images.data()[i]);
  const View<const T, 4> seen = rounded.view();
  Tensor<T, 2> logits({images.extent(0), model.config().num_classes});
  logits.fill(static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
  model.prepare(images.extent(2), images.extent(3));
  PoisonedScratch scratch(model.workspace_size(images.shape()));
  Workspace workspace = scratch.workspace();
  model.forward(seen, logits.view(), workspace, Queue{{seed}});
  std::vector<double> values;
  for (Index i = 0; i < logits.size(); ++i) values.push_back(static_cast<double>(logits.data()[i]));
  return values;
}

/// The kernels in T against the model on the CPU, on images of its own size and of another.
template <class T>
void require_as_on_cpu(const model::VisionConfig& config, double limit) {
  model::Vision<float> host(config);
  Random random(config.seed + 1);
  for (nn::Parameter<float>* p : host.parameters()) {  // initial weights are small, and biases 0
    for (Index i = 0; i < p->size(); ++i) p->value(i) += static_cast<float>(random.uniform(-0.1, 0.1));
  }
  cuda::VisionIn<T, HeapMemory> model(host);
  for (const Shape<4>& shape : {Shape<4>{3, 3, 12, 12}, {1, 3, 20, 8}, {0, 3, 12, 12}}) {
    INFO(config.mask_type << ", " << config.embed_dim << " wide, images " << to_string(shape));
    Tensor<float, 4> images(shape);
    for (Index i = 0; i < images.size(); ++i) images.data()[i] = static_cast<float>(random.uniform(-2, 2));
    Tensor<float, 2> wanted({shape[0], config.num_classes});
    host.forward(images, wanted);
    const std::vector<double> logits(wanted.data(), wanted.data() + wanted.size());
    CHECK(relative_error(run(model, images), logits) <= limit);
  }
}

}  // namespace

TEST_CASE("vision kernels agree with the golden files in every form, float32, emulated") {
  int seen = 0;
  for (const std::string& name : golden::cases()) {
    const auto host = golden::load<float>(name);
    if (host.config().kind != "vision") continue;
    ++seen;
    cuda::VisionIn<float, HeapMemory> model(host);
    const auto expected = golden::open(name, "expected");
    const auto images = expected.read_tensor<float, 4>("image");
    const std::vector<double> logits = expected.read_values<double>("logits");
    for (const char* form : {"auto", "full", "rnn", "chunk"}) {
      INFO(name << " in form " << form);
      model.set_form(parse_form(form, 4));
      REQUIRE(relative_error(run(model, images, static_cast<unsigned>(seen)), logits) <= 1e-5);
    }
  }
  REQUIRE(seen > 2);
}

TEST_CASE("kernels of layers agree with the layers on the CPU, emulated") {
  check_layers<float>(1);
  check_layers<bfloat16>(2);
  check_layers<lion::half>(3);
}

TEST_CASE("vision kernels agree with the model on the CPU in every type, emulated") {
  for (const char* mask : {"softmax", "linear", "decay", "selective"}) {
    model::VisionConfig config = small_model(mask);
    config.cls_tok = mask != std::string("linear");
    require_as_on_cpu<float>(config, 1e-5);
    config.embed_dim = 48;
    config.distilled = true;
    if (mask != std::string("softmax")) config.order = "s_curve";
    require_as_on_cpu<bfloat16>(config, 5e-2);
    config.distilled = config.pos_emb = config.cls_tok = false;
    config.form = "rnn";
    require_as_on_cpu<lion::half>(config, 5e-3);
  }
}

TEST_CASE("a vision model on the device says what it cannot take") {
  using Model = cuda::VisionIn<float, HeapMemory>;
  model::VisionConfig config = small_model("softmax");
  config.kind = "hydra";
  config.d_state = 4;
  config.head_dim = 12;
  require_error<ArgumentError>([&] { Model(model::Vision<float>(config)); },
                               "vision: kind is hydra, expected vision on a GPU");
  config = small_model("decay");
  config.embed_dim = 66;
  model::Vision<float> packed(config);
  packed.pack(cpu::WeightType::bfloat16);
  require_error<ArgumentError>([&] { Model{packed}; },
                               "cuda: blocks.0.attn.qkv.weight is packed, expected it as it was read or drawn");
  Model model((model::Vision<float>(small_model("decay"))));
  const auto forward = [&](const Shape<4>& images, const Shape<2>& logits, Workspace workspace) {
    model.forward(View<const float, 4>(nullptr, images), View<float, 2>(nullptr, logits), workspace, Queue{});
  };
  require_error<ArgumentError>(
      [&] {
        forward({1, 3, 12, 14}, {1, 10}, {});
      },
      "vision: images has shape [1,3,12,14], expected height and width to be positive "
      "multiples of the patch size 4");
  require_error<ArgumentError>(
      [&] {
        forward({1, 3, 12, 16}, {1, 10}, {});
      },
      "vision: images has shape [1,3,12,16], expected a height and width for which prepare "
      "was called");
  require_error<ArgumentError>(
      [&] {
        forward({1, 3, 12, 12}, {1, 9}, {});
      },
      "vision: logits has shape [1,9], expected [1,10]");
  require_error<ArgumentError>(
      [&] {
        forward({1, 3, 12, 12}, {1, 10}, {});
      },
      "vision: workspace has memory of its own, expected one over the device's memory");
  std::byte little[8];
  require_error<ArgumentError>(
      [&] {
        forward({1, 3, 12, 12}, {1, 10}, Workspace(little, sizeof(little)));
      },
      "workspace: 8 bytes given, expected at least " + std::to_string(model.workspace_size({1, 3, 12, 12})));
}
