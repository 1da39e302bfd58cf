// The trainer of examples/lion_vision by kernels, beside the one on the CPU.

#include <optional>

#include "lion_vision/device_trainer.hpp"
#include "simt/queue.hpp"
#include "simt/small_model.hpp"
#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"
#include "support/catch.hpp"

namespace {

using namespace lion;
using namespace lion::test;

struct Emulated {
  using Memory = HeapMemory;
  Queue queue() const { return {}; }
};

train::ImageBatch random_batch(Random& random, const model::VisionConfig& config, Index count, bool mixed) {
  train::ImageBatch batch{Tensor<float, 4>({count, config.in_chans, config.image_size, config.image_size}), {}, {}};
  for (Index i = 0; i < batch.images.size(); ++i) batch.images.data()[i] = static_cast<float>(random.uniform(-2, 2));
  for (Index b = 0; b < count; ++b) batch.labels.push_back(random.below(config.num_classes));
  if (!mixed) return batch;
  batch.targets = Tensor<float, 2>({count, config.num_classes});
  for (Index b = 0; b < count; ++b) {
    batch.targets(b, batch.labels[static_cast<std::size_t>(b)]) = 0.7f;
    batch.targets(b, random.below(config.num_classes)) += 0.3f;
  }
  return batch;
}

/// A run of a model: weights, moments, and who changes them.
template <class Trainer>
struct Learning {
  model::Vision<float> model;
  train::AdamW<float> optimiser;
  std::optional<Trainer> trainer;

  explicit Learning(const model::VisionConfig& config)
      : model(config), optimiser(model.parameters(), {.weight_decay = 0.05}) {
    begin();
  }
  void begin() { trainer.emplace(model, optimiser, examples::StepOptions{0.1, 0.5}, Executor()); }

  std::vector<double> logits(const train::ImageBatch& of) {
    Tensor<float, 2> logits({of.images.extent(0), model.config().num_classes});
    trainer->classify(of.images.view(), logits.view());
    return {logits.data(), logits.data() + logits.size()};
  }
  std::vector<double> weights() const {
    std::vector<double> all;
    for (const nn::Parameter<float>* p : model.parameters()) {
      all.insert(all.end(), p->value.data(), p->value.data() + p->size());
    }
    return all;
  }
};

template <class T>
void check(double limit) {
  model::VisionConfig config = small_model("decay");
  config.depth = 1;
  Random random(8);
  Learning<examples::HostTrainer> host(config);
  Learning<examples::DeviceTrainer<T, Emulated>> device(config);
  for (int step = 0; step < 4; ++step) {
    const train::ImageBatch batch = random_batch(random, config, step == 3 ? 1 : 3, step == 1);
    const double wanted = host.trainer->step(batch, 1e-3 * step), got = device.trainer->step(batch, 1e-3 * step);
    INFO("step " << step);
    CHECK(got == Approx(wanted).epsilon(limit));
    if (step != 1) continue;
    device.trainer->download();  // what is told of the run there is enough to go on from
    CHECK(device.optimiser.state().steps == 2);
    device.begin();
  }
  const std::vector<double> before = device.weights();
  device.trainer->download();
  CHECK(device.weights() != before);
  CHECK(device.optimiser.state().steps == 4);
  CHECK(relative_error(device.weights(), host.weights()) <= limit);
  for (const Index count : {2, 3}) {
    const train::ImageBatch batch = random_batch(random, config, count, false);
    CHECK(relative_error(device.logits(batch), host.logits(batch)) <= 10 * limit);
  }
}

}  // namespace

TEST_CASE("a program trains in kernels as on the CPU, emulated") {
  check<float>(1e-5);
  check<bfloat16>(1e-2);
}
