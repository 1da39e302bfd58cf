#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "lion/io/parameters.hpp"
#include "lion/model/vision.hpp"
#include "lion/train/adamw.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/distillation.hpp"
#include "support/catch.hpp"

using lion::Index;
using lion::Tensor;
using lion::io::SafetensorsFile;

namespace {

/// Five steps of AdamW from the golden weights, as torch took them: the loss before each.
template <class S>
void check_losses(double tolerance) {
  int files = 0, distilled = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LION_GOLDEN_DIR)) {
    const std::string path = entry.path().string(), ending = ".expected.safetensors";
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("vision-") || !name.ends_with(ending)) continue;
    const auto golden = SafetensorsFile::open(path);
    ++files;
    const auto weights = SafetensorsFile::open(path.substr(0, path.size() - ending.size()) + ".weights.safetensors");
    lion::model::Vision<S> model(lion::model::vision_config_from(weights.metadata()));
    const std::vector<lion::nn::Parameter<S>*> parameters = model.parameters();
    std::vector<lion::io::TensorSlot<S>> slots;
    for (lion::nn::Parameter<S>* p : parameters) {
      p->decay = true;  // the golden run decayed every parameter
      slots.push_back({p->name, p->shape, p->value.data()});
    }
    lion::io::load_parameters(weights, slots);

    const auto image = golden.read_tensor<S, 4>("image");
    const std::vector<Index> labels = golden.read_values<Index>("label");
    const std::vector<double> expected = golden.read_values<double>("losses");
    std::vector<Index> teacher;
    if (model.config().distilled) teacher = golden.read_values<Index>("teacher_label"), ++distilled;
    Tensor<S, 2> logits({image.extent(0), model.config().num_classes}), dlogits(logits.shape());
    Tensor<S, 3> both({2, image.extent(0), model.config().num_classes}), dboth(both.shape());
    // One step's loss and gradients: of the two heads of a DeiT, half each, or of a plain model's one.
    const auto learn = [&]() -> double {
      if (model.config().distilled) {
        model.forward_train(image.view(), both.view());
        const double loss = lion::train::hard_distillation<S>(both.view(), labels, teacher, dboth.view());
        model.backward(dboth.view());
        return loss;
      }
      model.forward_train(image.view(), logits.view());
      const double loss = lion::train::cross_entropy<S>(logits.view(), labels, dlogits.view());
      model.backward(dlogits.view());
      return loss;
    };
    lion::train::AdamW<S> optimiser(std::span<lion::nn::Parameter<S>* const>(parameters), {.weight_decay = 0.05});
    REQUIRE(expected.size() == 5);
    for (std::size_t step = 0; step < expected.size(); ++step) {
      INFO(name << " step " << step);
      model.zero_grad();
      REQUIRE(std::abs(learn() / expected[step] - 1) < tolerance);
      optimiser.step(1e-3);
    }
  }
  REQUIRE(files > 0);
  REQUIRE(distilled > 0);
}

}  // namespace

TEST_CASE("five AdamW steps of each golden vision model, float64") { check_losses<double>(1e-9); }
TEST_CASE("five AdamW steps of each golden vision model, float32") { check_losses<float>(1e-4); }
