#include "lion/model/masked_language.hpp"
#include "lion/train/cross_entropy.hpp"
#include "tables/text_models.hpp"
#include "tables/times.hpp"
#include "tables/update.hpp"

namespace lion::bench {
namespace {

class TextStep final : public TrainingStep {
 public:
  TextStep(const model::MaskedLanguageConfig& config, Index batch, Index length)
      : trained_(config), ids_({batch, length}) {
    const nn::PlacedRandom random(0, 0);
    // 30 % of the tokens are to be found again, evenly spread: which ones makes no difference to the time.
    for (Index i = 0; i < ids_.size(); ++i) {
      ids_.data()[i] = static_cast<Index>(random.uniform(i) * static_cast<double>(config.vocab_size));
      if (3 * i / 10 == 3 * (i + 1) / 10) continue;
      rows_.push_back(i);
      labels_.push_back(ids_.data()[i]);
    }
    logits_ = Tensor<float, 2>({static_cast<Index>(rows_.size()), config.vocab_size});
    dlogits_ = Tensor<float, 2>(logits_.shape());
  }

  void run(const Executor& executor) override {
    trained_.model->zero_grad();
    trained_.model->forward_train({.ids = ids_.view()}, rows_, logits_.view(), executor, seed_++);
    train::cross_entropy<float>(logits_.view(), labels_, dlogits_.view(), 0, executor);
    trained_.model->backward(dlogits_.view(), executor);
    trained_.update(executor);
  }

  Index parameters() const override { return trained_.model->parameter_count(); }

 private:
  Trained<model::MaskedLanguage<float>> trained_;
  Tensor<Index, 2> ids_;               // [B,L]
  std::vector<Index> rows_, labels_;   // token positions, and what stood there
  Tensor<float, 2> logits_, dlogits_;  // [rows,vocab]
  std::uint64_t seed_ = 0;
};

model::MaskedLanguageConfig config_of(const std::string& mask_type, Size size) {
  using Config = model::MaskedLanguageConfig;
  if (size == Size::base) return Config::large_size(mask_type);
  Config config = Config::base_size(mask_type);
  if (size == Size::small_) return config;
  config.vocab_size = 100;
  config.hidden_size = 32;
  config.num_attention_heads = 2;
  config.num_hidden_layers = 2;
  config.intermediate_size = 64;
  return config;
}

}  // namespace

Json measure_text_time(const Settings& settings) {
  const Index batch = Settings::either(settings.batch, 1), length = settings.size == Size::quick ? 32 : 128;
  const model::MaskedLanguageConfig base = config_of("softmax", settings.size);
  std::vector<Row> rows;
  for (const TextModel& entry : text_models()) {
    rows.push_back({entry.name, entry.paper_ratio, [=] {
                      return std::make_unique<TextStep>(config_of(entry.mask_type, settings.size), batch, length);
                    }});
  }
  return {{"batch", batch},
          {"length", length},
          {"width", base.hidden_size},
          {"depth", base.num_hidden_layers},
          {"threads", settings.threads},
          {"rounds", settings.timed_rounds()},
          {"models", measure_times("text-time", rows, settings)}};
}

}  // namespace lion::bench
