#include "lion/model/vision.hpp"

#include "figures/subject.hpp"
#include "lion/io/model.hpp"

namespace lion::bench {
namespace {

model::VisionConfig config_of(const SubjectOptions& o) {
  model::VisionConfig config = model::VisionConfig::base_size();
  if (o.kind == "hydra") config = model::VisionConfig::hydra_base_size();
  if (o.kind == "vim") config = model::VisionConfig::vim_base_size();
  if (o.size == "tiny") config.embed_dim = 64, config.num_heads = 1, config.depth = 2;
  config.kind = o.kind;
  config.image_size = o.image_size;
  config.mask_type = o.mask;
  config.form = o.form;
  config.chunk_size = o.chunk_size;
  return config;
}

class VisionInference final : public Subject {
 public:
  explicit VisionInference(const SubjectOptions& o)
      : model_(config_of(o)),
        images_({o.batch, 3, o.image_size, o.image_size}),
        logits_({o.batch, model_.config().num_classes}) {
    pack(model_, o);
    const nn::PlacedRandom random(0, 0);
    for (Index i = 0; i < images_.size(); ++i) {
      images_.data()[i] = static_cast<float>(2 * random.uniform(static_cast<std::uint64_t>(i)) - 1);
    }
  }

  void run(const Executor& executor) override { model_.forward(images_.view(), logits_.view(), executor); }

  /// Weights to the file, images to another beside it: PATH.images.
  void write_inputs(const std::string& path) const override {
    io::save_weights(path, model_, {.metadata = model::to_metadata(model_.config())});
    io::SafetensorsWriter writer;
    writer.add("images", images_);
    writer.write(path + ".images");
  }

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
