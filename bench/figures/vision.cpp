#include "figures/vision_case.hpp"

namespace lion::bench {
namespace {

class VisionInference final : public Subject {
 public:
  explicit VisionInference(const SubjectOptions& o)
      : model_(vision_config(o)), images_(vision_images(o)), logits_({o.batch, model_.config().num_classes}) {
    pack(model_, o);
  }

  void run(const Executor& executor) override { model_.forward(images_.view(), logits_.view(), executor); }

  void write_inputs(const std::string& path) const override { write_vision_inputs(path, model_, images_); }

  void write_output(const std::string& path) const override {
    io::SafetensorsWriter writer;
    writer.add("y", logits_);
    writer.write(path);
  }

 private:
  model::Vision<float> model_;
  Tensor<float, 4> images_;  // [B,3,S,S]
  Tensor<float, 2> logits_;  // [B,classes]
};

}  // namespace

std::unique_ptr<Subject> vision_subject(const SubjectOptions& options) {
  return std::make_unique<VisionInference>(options);
}

}  // namespace lion::bench
