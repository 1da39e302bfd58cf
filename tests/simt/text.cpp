// The masked language model in kernels, against the model on the CPU and the golden files.

#include "lion/model/cuda/masked_language.hpp"
#include "lion/model/cuda/sequence_classifier.hpp"
#include "model/masked_language.hpp"
#include "simt/queue.hpp"
#include "support/attention_run.hpp"
#include "support/require_error.hpp"

namespace {

using namespace lion;
using namespace lion::test;

template <class T>
std::vector<double> run(const cuda::MaskedLanguageIn<T, HeapMemory>& model, const model::TextInputs& text,
                        const std::vector<Index>& rows, unsigned seed = 0) {
  auto logits = Tensor<T, 2>({static_cast<Index>(rows.size()), model.config().vocab_size});
  logits.fill(static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
  PoisonedScratch scratch(model.workspace_size(text, logits.extent(0)));
  Workspace workspace = scratch.workspace();
  model.forward(text, rows, logits.view(), workspace, Queue{{seed}});
  std::vector<double> values;
  for (Index i = 0; i < logits.size(); ++i) values.push_back(static_cast<double>(logits.data()[i]));
  return values;
}

/// Padded and packed texts, in T.
template <class T>
void require_as_on_cpu(const model::MaskedLanguageConfig& config, double limit) {
  INFO(config.mask_type << ", " << config.hidden_size << " wide");
  model::MaskedLanguage<float> host(config);
  for (nn::Parameter<float>* p : host.parameters()) {  // biases begin as 0, norms as 1
    for (Index i = 0; i < p->size(); ++i) p->value(i) += 0.02f * static_cast<float>(i * i % 7 - 3);
  }
  const cuda::MaskedLanguageIn<T, HeapMemory> model(host);
  const mlm::Texts texts({17, 1, 70, 5});
  Tensor<Index, 2> types(texts.packed.shape());
  for (Index t = 0; t < types.size(); ++t) types.data()[t] = t / 3 % 2;
  for (const bool packed : {false, true}) {
    INFO("packed " << packed);
    const model::TextInputs text = packed ? model::TextInputs{texts.packed, {}, texts.cuts, types}
                                          : model::TextInputs{texts.padded, texts.key_mask};
    std::vector<Index> rows = packed ? texts.packed_rows : texts.padded_rows;
    std::swap(rows.front(), rows.back());
    auto wanted = mlm::poisoned<float>(static_cast<Index>(rows.size()), config.vocab_size);
    host.forward(text, rows, wanted.view());
    CHECK(relative_error(run(model, text, rows, 3), mlm::doubles(wanted)) <= limit);
  }
}

/// Sequences of padded and packed texts in two segments, classified in T.
template <class T>
void require_classified_as_on_cpu(const model::MaskedLanguageConfig& encoder, double limit) {
  INFO(encoder.mask_type << ", classified");
  model::SequenceClassifier<float> host({encoder, 3});
  for (nn::Parameter<float>* p : host.parameters()) {
    for (Index i = 0; i < p->size(); ++i) p->value(i) += 0.02f * static_cast<float>(i * i % 7 - 3);
  }
  cuda::SequenceClassifierIn<T, HeapMemory> model(host);
  model.set_form(form::Chunk{64});
  const mlm::Texts texts({17, 1, 70, 5});
  for (const bool packed : {false, true}) {
    INFO("packed " << packed);
    model::TextInputs text = packed ? texts.as_packed() : texts.as_padded();
    Tensor<Index, 2> types(text.ids.shape());
    for (Index t = 0; t < types.size(); ++t) types.data()[t] = t / 3 % 2;
    text.type_ids = types;
    auto wanted = mlm::poisoned<float>(4, 3);
    host.forward(text, wanted.view());
    Tensor<T, 2> logits({4, 3});
    logits.fill(static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
    PoisonedScratch scratch(model.workspace_size(text));
    Workspace workspace = scratch.workspace();
    model.forward(text, logits.view(), workspace, Queue{{5}});
    CHECK(relative_error(std::vector<double>(logits.data(), logits.data() + logits.size()), mlm::doubles(wanted)) <=
          limit);
  }
}

}  // namespace

TEST_CASE("text kernels agree with the golden files in every form, float32, emulated") {
  for (const char* mask : mlm::kMasks) {
    const auto host = mlm::load<float>(mask);
    cuda::MaskedLanguageIn<float, HeapMemory> model(host);
    const auto expected = mlm::open(mask, "expected");
    const mlm::Case texts(expected);
    const auto logits = expected.read_values<double>("logits");
    for (const char* form : {"auto", "full", "rnn", "chunk"}) {
      INFO(mask << " in form " << form);
      model.set_form(parse_form(form, 4));
      CHECK(relative_error(run(model, texts.text(), texts.seen), logits) <= 1e-5);
      // Packed, where no padding ends a sequence.
      const auto packed = texts.packed();
      std::vector<Index> all(texts.seen.size());
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<Index>(i);
      CHECK(relative_error(run(model, packed.text(), all), logits) <= 1e-5);
    }
  }
}

TEST_CASE("text kernels agree with the model on the CPU in every type, emulated") {
  for (const char* mask : mlm::kMasks) {
    model::MaskedLanguageConfig config = mlm::small_model(mask);
    require_as_on_cpu<bfloat16>(config, 5e-2);
    require_as_on_cpu<lion::half>(config, 5e-3);
    config.hidden_size = 21;  // heads of 7: no row is of whole packs
    config.intermediate_size = 19;
    require_as_on_cpu<float>(config, 1e-5);
  }
}

TEST_CASE("sequences are classified in kernels as on the CPU, emulated") {
  require_classified_as_on_cpu<float>(mlm::small_model("softmax"), 1e-5);
  require_classified_as_on_cpu<lion::half>(mlm::small_model("decay"), 5e-3);
  require_classified_as_on_cpu<bfloat16>(mlm::small_model("selective"), 5e-2);
}

TEST_CASE("a text model on the device says what it cannot take") {
  using Model = cuda::MaskedLanguageIn<float, HeapMemory>;
  using Classifier = cuda::SequenceClassifierIn<float, HeapMemory>;
  const std::string hydra = ": mask_type is hydra, expected softmax, linear, decay or selective on a GPU";
  require_error<ArgumentError>([&] { Model(model::MaskedLanguage<float>(mlm::small_model("hydra"))); },
                               "masked_language" + hydra);
  require_error<ArgumentError>([&] { Classifier(model::SequenceClassifier<float>({mlm::small_model("hydra")})); },
                               "sequence_classifier" + hydra);
  const Classifier classifier((model::SequenceClassifier<float>({mlm::small_model("softmax")})));
  Workspace none;
  require_error<ArgumentError>(
      [&] {
        classifier.forward({View<const Index, 2>(nullptr, {2, 0})}, View<float, 2>(), none, Queue{});
      },
      "sequence_classifier: ids has shape [2,0], expected at least one token in a row");
  model::MaskedLanguageConfig config = mlm::small_model("linear");
  config.max_position_embeddings = 8;
  const Model model((model::MaskedLanguage<float>(config)));
  const std::vector<Index> numbers{0, 3};
  const auto forward = [&](const Shape<2>& ids, std::span<const Index> cuts, const Shape<2>& logits) {
    Workspace own;
    model.forward({View<const Index, 2>(nullptr, ids), {}, cuts}, numbers, View<float, 2>(nullptr, logits), own,
                  Queue{});
  };
  require_error<ArgumentError>(
      [&] {
        forward({2, 9}, {}, {2, 300});
      },
      "masked_language: ids has shape [2,9], expected at most 8 tokens in a row");
  require_error<ArgumentError>(
      [&] {
        forward({2, 3}, numbers, {2, 300});
      },
      "masked_language: ids has shape [2,3], expected [1,*] with cu_seqlens");
  require_error<ArgumentError>(
      [&] {
        forward({2, 3}, {}, {3, 300});
      },
      "masked_language: logits has shape [3,300], expected [2,300]");
  require_error<ArgumentError>(
      [&] {
        forward({2, 3}, {}, {2, 300});
      },
      "masked_language: workspace has memory of its own, expected one over the device's "
      "memory");
}
