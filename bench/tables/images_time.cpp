#include <numeric>

#include "lion/model/vision.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/distillation.hpp"
#include "tables/image_models.hpp"
#include "tables/times.hpp"
#include "tables/update.hpp"

namespace lion::bench {
namespace {

class ImageStep final : public TrainingStep {
 public:
  ImageStep(const model::VisionConfig& config, Index batch)
      : trained_(config),
        images_({batch, config.in_chans, config.image_size, config.image_size}),
        logits_({config.classifiers(), batch, config.num_classes}),
        dlogits_(logits_.shape()),
        labels_(static_cast<std::size_t>(batch)) {
    const nn::PlacedRandom random(0, 0);
    for (Index i = 0; i < images_.size(); ++i) images_.data()[i] = static_cast<float>(2 * random.uniform(i) - 1);
    std::iota(labels_.begin(), labels_.end(), Index(0));
    for (Index& label : labels_) label %= config.num_classes;
  }

  void run(const Executor& executor) override {
    trained_.model->zero_grad();
    trained_.model->forward_train(images_.view(), logits_.view(), executor, seed_++);
    loss(executor);
    trained_.model->backward(dlogits_.view(), executor);
    trained_.update(executor);
  }

  Index parameters() const override { return trained_.model->parameter_count(); }

 private:
  /// Of a distilled model: its teacher's answers are taken as given, so their making is not in the time.
  void loss(const Executor& executor) {
    if (logits_.extent(0) > 1) {
      train::hard_distillation<float>(logits_.view(), labels_, labels_, dlogits_.view(), 0.1);
    } else {
      const Shape<2> shape{logits_.extent(1), logits_.extent(2)};
      train::cross_entropy<float>({logits_.data(), shape}, labels_, {dlogits_.data(), shape}, 0.1, executor);
    }
  }

  Trained<model::Vision<float>> trained_;
  Tensor<float, 4> images_;            // [B,3,S,S]
  Tensor<float, 3> logits_, dlogits_;  // [classifiers,B,classes]
  std::vector<Index> labels_;          // [B]
  std::uint64_t seed_ = 0;
};

model::VisionConfig config_of(Size size) {
  if (size == Size::base) return model::VisionConfig::base_size();
  if (size == Size::small_) return model::VisionConfig::small_size();
  model::VisionConfig config;
  config.image_size = 64;
  config.embed_dim = 32;
  config.num_heads = 2;
  config.depth = 2;
  config.num_classes = 10;
  return config;
}

}  // namespace

Json measure_images_time(const Settings& settings) {
  const model::VisionConfig base = config_of(settings.size);
  const Index batch = Settings::either(settings.batch, 2), side = base.image_size / base.patch_size;
  std::vector<Row> rows;
  for (const ImageModel& entry : image_models()) {
    rows.push_back({entry.name, entry.paper_ratio, [=] {
                      model::VisionConfig config = base;
                      entry.configure(config);
                      return std::make_unique<ImageStep>(config, batch);
                    }});
  }
  return {{"batch", batch},
          {"image_size", base.image_size},
          {"length", side * side + 1},
          {"width", base.embed_dim},
          {"depth", base.depth},
          {"threads", settings.threads},
          {"rounds", settings.timed_rounds()},
          {"models", measure_times("images-time", rows, settings)}};
}

}  // namespace lion::bench
