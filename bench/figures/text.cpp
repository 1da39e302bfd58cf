#include "figures/subject.hpp"
#include "lion/io/model.hpp"
#include "lion/model/masked_language.hpp"

namespace lion::bench {
namespace {

model::MaskedLanguageConfig config_of(const SubjectOptions& o) {
  auto config = model::MaskedLanguageConfig::large_size(o.mask);
  if (o.size == "tiny") {
    config = model::MaskedLanguageConfig::base_size(o.mask);
    config.vocab_size = 100;
    config.hidden_size = 64;
    config.num_attention_heads = 1;
    config.num_hidden_layers = 2;
    config.intermediate_size = 256;
  }
  config.max_position_embeddings = o.length;
  config.form = o.form;
  config.chunk_size = o.chunk_size;
  return config;
}

class TextInference final : public Subject {
 public:
  explicit TextInference(const SubjectOptions& o)
      : model_(config_of(o)), ids_({o.batch, o.length}), logits_({o.batch, model_.config().vocab_size}) {
    pack(model_, o);
    const nn::PlacedRandom random(0, 0);
    for (Index i = 0; i < ids_.size(); ++i) {
      ids_.data()[i] = static_cast<Index>(random.uniform(static_cast<std::uint64_t>(i)) *
                                          static_cast<double>(model_.config().vocab_size));
    }
    for (Index b = 0; b < o.batch; ++b) rows_.push_back(b * o.length);
  }

  void run(const Executor& executor) override {
    model_.forward({.ids = ids_.view()}, rows_, logits_.view(), scratch_, executor);
  }

  /// Weights to the file, ids to another beside it: PATH.ids.
  void write_inputs(const std::string& path) const override {
    io::save_weights(path, model_, {.metadata = model::to_metadata(model_.config())});
    io::SafetensorsWriter writer;
    writer.add("ids", ids_);
    writer.write(path + ".ids");
  }

  void write_output(const std::string& path) const override {
    io::SafetensorsWriter writer;
    writer.add("y", logits_);
    writer.write(path);
  }

 private:
  model::MaskedLanguage<float> model_;
  Tensor<Index, 2> ids_;     // [B,L]
  std::vector<Index> rows_;  // [B]
  Tensor<float, 2> logits_;  // [B,vocab]
  nn::Scratch scratch_;
};

}  // namespace

std::unique_ptr<Subject> text_subject(const SubjectOptions& options) {
  return std::make_unique<TextInference>(options);
}

}  // namespace lion::bench
