// BERT checkpoints as they are spread: every spelling is read, every fault named in one message, nothing touched.

#include "lion/io/bert.hpp"

#include <algorithm>
#include <map>

#include "io/files.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

model::MaskedLanguageConfig small_model(const std::string& mask = "softmax") {
  model::MaskedLanguageConfig config = model::MaskedLanguageConfig::base_size(mask);
  config.vocab_size = 13;
  config.hidden_size = 64;
  config.num_attention_heads = 1;
  config.num_hidden_layers = 2;
  config.intermediate_size = 10;
  config.max_position_embeddings = 9;
  return config;
}

/// A checkpoint in memory, whose tensors can be renamed, added, taken away.
struct Checkpoint {
  struct Entry {
    std::string name;
    std::vector<Index> shape;
    std::vector<double> values;
  };
  std::vector<Entry> entries;
  io::Metadata metadata;

  template <class Model>
  explicit Checkpoint(const Model& model) {
    for (const auto* p : model.parameters()) {
      entries.push_back({p->name, p->shape, {p->value.data(), p->value.data() + p->size()}});
    }
  }
  Entry& at(const std::string& name) {
    return *std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == name; });
  }
  void copy(const std::string& name, const std::string& as) {
    Entry entry = at(name);
    entry.name = as;
    entries.push_back(std::move(entry));
  }
  void add(const std::string& name, const std::vector<Index>& shape) {
    entries.push_back({name, shape, std::vector<double>(static_cast<std::size_t>(io::detail::count_of(shape)), 0.5)});
  }
  template <class F>
  void rename(F&& f) {
    for (Entry& entry : entries) entry.name = f(entry.name);
  }

  /// Calls f with the checkpoint as an open file.
  template <class F>
  void open(F&& f) const {
    io::SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
    for (const Entry& e : entries) writer.add(e.name, io::Dtype::kF64, e.shape, std::as_bytes(std::span(e.values)));
    const std::vector<std::byte> bytes = writer.bytes();
    f(io::SafetensorsFile::from_bytes(bytes, "bert"));
  }
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == text.npos ? text : text.replace(at, from.size(), to);
}

template <class Model>
bool same_weights(const Model& a, const Model& b) {
  const auto p = a.parameters(), q = b.parameters();
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!std::equal(p[i]->value.data(), p[i]->value.data() + p[i]->size(), q[i]->value.data())) return false;
  }
  return p.size() == q.size();
}

}  // namespace

TEST_CASE("a plain BERT checkpoint is read under every spelling") {
  model::MaskedLanguageConfig config = small_model();
  config.seed = 3;
  const model::MaskedLanguage<double> original(config);
  const auto require_read = [&](const Checkpoint& checkpoint) {
    checkpoint.open([&](const io::SafetensorsFile& file) {
      const auto found = model::masked_language_config_from(io::bert_metadata(file));
      REQUIRE(model::to_metadata(found) == model::to_metadata(small_model()));
      model::MaskedLanguage<double> model(found, model::Initial::zero);
      io::load_bert(file, model);
      REQUIRE(same_weights(model, original));
    });
  };
  Checkpoint plain(original);
  plain.metadata = {{"format", "pt"}};
  require_read(plain);

  Checkpoint published = plain;  // as bert-base-uncased lies on the hub
  published.copy("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight");
  published.copy("cls.predictions.bias", "cls.predictions.decoder.bias");
  published.add("bert.embeddings.position_ids", {1, 9});
  published.add("bert.pooler.dense.weight", {64, 64});
  published.add("cls.seq_relationship.weight", {2, 64});
  published.rename([](const std::string& name) {
    return replaced(replaced(name, "LayerNorm.weight", "LayerNorm.gamma"), "LayerNorm.bias", "LayerNorm.beta");
  });
  require_read(published);

  Checkpoint bare = plain;  // of the encoder alone, with the bias where newer versions keep it
  bare.rename([](const std::string& name) {
    if (name == "cls.predictions.bias") return std::string("cls.predictions.decoder.bias");
    return replaced(name, "bert.", "");
  });
  require_read(bare);
}

TEST_CASE("checkpoints of LION and Hydra say of themselves what model they are") {
  for (const char* mask : {"linear", "decay", "selective", "hydra"}) {
    INFO(mask);
    model::MaskedLanguageConfig config = small_model(mask);
    config.num_attention_heads = std::string(mask) == "linear" ? 1 : 4;
    config.d_state = 5;
    config.head_dim = 32;
    const model::MaskedLanguage<double> original(config);
    Checkpoint(original).open([&](const io::SafetensorsFile& file) {
      auto found = model::masked_language_config_from(io::bert_metadata(file));
      config.max_position_embeddings = found.max_position_embeddings = 9;  // unknown where there are no positions
      REQUIRE(model::to_metadata(found) == model::to_metadata(config));
      model::MaskedLanguage<double> model(found, model::Initial::zero);
      io::load_bert(file, model);
      REQUIRE(same_weights(model, original));
      REQUIRE(io::bert_metadata(file, {{"num_attention_heads", "2"}}).at("num_attention_heads") == "2");
    });
  }
}

TEST_CASE("everything that is wrong with a checkpoint is in one error, and nothing is written") {
  Checkpoint checkpoint{model::MaskedLanguage<double>(small_model())};
  checkpoint.copy("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight");
  checkpoint.at("cls.predictions.decoder.weight").values[7] += 1e-9;
  checkpoint.add("bert.encoder.layer.2.output.dense.bias", {64});
  checkpoint.at("bert.encoder.layer.1.attention.self.key.bias").shape = {1, 64};
  std::erase_if(checkpoint.entries, [](const auto& e) { return e.name == "cls.predictions.transform.dense.bias"; });
  model::MaskedLanguage<double> model(small_model(), model::Initial::zero);
  checkpoint.open([&](const io::SafetensorsFile& file) {
    require_error<FileError>(
        [&] { io::load_bert(file, model); },
        "load_bert: bert: missing tensors: 'cls.predictions.transform.dense.bias'; unexpected tensors: "
        "'bert.encoder.layer.2.output.dense.bias'; misshapen tensors: 'bert.encoder.layer.1.attention.self.key.bias' "
        "has shape [1,64], expected [64]; tensors that are not tied: 'cls.predictions.decoder.weight' differs from "
        "'bert.embeddings.word_embeddings.weight'");
  });
  for (const auto* p : model.parameters()) {
    if (p->name.find("LayerNorm.weight") == std::string::npos) REQUIRE(p->value(0) == 0);
  }
}

TEST_CASE("a classifier takes the encoder of a masked language model, and comes back from its own file") {
  const model::MaskedLanguage<double> pretrained(small_model("selective"));
  model::SequenceClassifierConfig config;
  config.encoder = small_model("selective");
  config.encoder.seed = 8;
  config.num_labels = 3;
  const model::SequenceClassifier<double> drawn(config);
  model::SequenceClassifier<double> model(config);
  Checkpoint checkpoint(pretrained);
  checkpoint.open([&](const io::SafetensorsFile& file) { io::load_bert(file, model); });
  std::map<std::string, const nn::Parameter<double>*> encoder;
  for (const auto* p : pretrained.parameters()) encoder[p->name] = p;
  const auto now = std::as_const(model).parameters(), before = drawn.parameters();
  for (std::size_t i = 0; i < now.size(); ++i) {
    INFO(now[i]->name);
    const bool head = now[i]->name.starts_with("bert.pooler.") || now[i]->name.starts_with("classifier.");
    const nn::Parameter<double>* expected = head ? before[i] : encoder.at(now[i]->name);
    REQUIRE(std::equal(expected->value.data(), expected->value.data() + expected->size(), now[i]->value.data()));
  }

  Checkpoint own(model);
  own.metadata = model::to_metadata(config);
  own.open([&](const io::SafetensorsFile& file) {
    const auto found = model::sequence_classifier_config_from(io::bert_metadata(file));
    REQUIRE(found.num_labels == 3);
    model::SequenceClassifier<double> again(found, model::Initial::zero);
    io::load_bert(file, again);
    REQUIRE(same_weights(again, model));
    io::Metadata of_tensors = io::bert_metadata(file);
    REQUIRE(of_tensors.at("num_labels") == "3");
    model::MaskedLanguage<double> wrong(small_model("selective"));
    require_error<FileError>(
        [&] { io::load_bert(file, wrong); },
        "load_bert: bert: missing tensors: 'cls.predictions.bias', "
        "'cls.predictions.transform.LayerNorm.bias', 'cls.predictions.transform.LayerNorm.weight', "
        "'cls.predictions.transform.dense.bias', 'cls.predictions.transform.dense.weight'; "
        "unexpected tensors: 'classifier.bias', 'classifier.weight'");
  });

  // A head is there whole or not at all, and a classifier's own file has both.
  const std::string missing = "load_bert: bert: missing tensors: 'classifier.weight'";
  Checkpoint damaged(model);
  std::erase_if(damaged.entries, [](const auto& e) { return e.name == "classifier.weight"; });
  damaged.open(
      [&](const io::SafetensorsFile& file) { require_error<FileError>([&] { io::load_bert(file, model); }, missing); });
  std::erase_if(damaged.entries, [](const auto& e) { return e.name == "classifier.bias"; });
  damaged.open([&](const io::SafetensorsFile& file) { io::load_bert(file, model); });
  damaged.metadata = model::to_metadata(config);
  damaged.open([&](const io::SafetensorsFile& file) {
    require_error<FileError>([&] { io::load_bert(file, model); },
                             "load_bert: bert: missing tensors: 'classifier.bias', 'classifier.weight'");
  });
}
