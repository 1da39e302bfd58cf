#include <numeric>

#include "figures/vision_case.hpp"
#include "lion/train/cross_entropy.hpp"
#include "tables/update.hpp"

namespace lion::bench {
namespace {

/// Forward, cross-entropy with labels 0 ... B - 1, backward, AdamW. Its output is the gradient of the first block's
/// queries, keys and values: everything behind them in backward is in it.
class VisionTraining final : public Subject {
 public:
  explicit VisionTraining(const SubjectOptions& o)
      : trained_(vision_config(o)),
        images_(vision_images(o)),
        logits_({o.batch, trained_.model->config().num_classes}),
        dlogits_(logits_.shape()),
        labels_(static_cast<std::size_t>(o.batch)) {
    std::iota(labels_.begin(), labels_.end(), Index(0));
  }

  void run(const Executor& executor) override {
    trained_.model->zero_grad();
    trained_.model->forward_train(images_.view(), logits_.view(), executor);
    train::cross_entropy<float>(logits_.view(), labels_, dlogits_.view(), 0.0, executor);
    trained_.model->backward(dlogits_.view(), executor);
    trained_.update(executor);
  }

  void write_inputs(const std::string& path) const override { write_vision_inputs(path, *trained_.model, images_); }

  void write_output(const std::string& path) const override {
    io::SafetensorsWriter writer;
    for (const nn::Parameter<float>* parameter : trained_.model->parameters()) {
      if (parameter->name != "blocks.0.attn.qkv.weight") continue;
      writer.add("y", View<const float, 2>(parameter->grad.data(), {parameter->shape[0], parameter->shape[1]}));
    }
    writer.write(path);
  }

 private:
  Trained<model::Vision<float>> trained_;
  Tensor<float, 4> images_;            // [B,3,S,S]
  Tensor<float, 2> logits_, dlogits_;  // [B,classes]
  std::vector<Index> labels_;          // [B]
};

}  // namespace

std::unique_ptr<Subject> training_subject(const SubjectOptions& options) {
  return std::make_unique<VisionTraining>(options);
}

}  // namespace lion::bench
