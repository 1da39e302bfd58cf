#include "lion/model/sequence_classifier.hpp"

#include <cmath>
#include <limits>

#include "nn/differences.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

model::SequenceClassifierConfig small_model(const std::string& mask) {
  model::SequenceClassifierConfig config{model::MaskedLanguageConfig::base_size(mask), 3, 0.2};
  config.encoder.vocab_size = 11;
  config.encoder.hidden_size = 6;
  config.encoder.num_attention_heads = 2;
  config.encoder.num_hidden_layers = 1;
  config.encoder.intermediate_size = 5;
  config.encoder.max_position_embeddings = 8;
  config.encoder.layer_norm_eps = 1e-3;
  config.encoder.hidden_dropout_prob = 0.2;
  return config;
}

/// Three sequences of 4, 1 and 6 tokens in two segments.
struct Texts {
  std::vector<Index> ids{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, types{0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1}, cuts{0, 4, 5, 11};
  model::TextInputs text() const {
    return {View<const Index, 2>(ids.data(), {1, 11}), {}, cuts, View<const Index, 2>(types.data(), {1, 11})};
  }
};

}  // namespace

TEST_CASE("gradients of a sequence classifier, with dropout and segments, are those of what was computed") {
  const Texts texts;
  for (const char* mask : {"softmax", "selective"}) {
    INFO(mask);
    model::SequenceClassifier<double> model(small_model(mask));
    for (auto* p : model.parameters()) {
      for (Index i = 0; i < p->size(); ++i) p->value(i) += 0.3 * std::sin(static_cast<double>(5 * i + 2));
    }
    Tensor<double, 2> logits({3, 3}), weights({3, 3});
    for (Index i = 0; i < 9; ++i) weights.data()[i] = std::cos(static_cast<double>(2 * i));
    const auto value = [&] {
      model.forward_train(texts.text(), logits, {}, 21);
      return nn_test::inner(logits, weights);
    };
    value();
    model.zero_grad();
    model.backward(weights);
    nn_test::require_parameter_gradients(model, value);
  }
}

TEST_CASE("a sequence is classified alike packed, padded and in training, by any number of threads") {
  const Texts texts;
  model::SequenceClassifierConfig config = small_model("decay");
  config.encoder.hidden_dropout_prob = config.classifier_dropout = 0;
  model::SequenceClassifier<double> model(config);
  Tensor<double, 2> packed({3, 3}), other({3, 3});
  packed.fill(std::numeric_limits<double>::quiet_NaN());
  other.fill(std::numeric_limits<double>::quiet_NaN());
  model.forward(texts.text(), packed);
  model.forward_train(texts.text(), other);
  for (Index i = 0; i < 9; ++i) REQUIRE(other.data()[i] == Approx(packed.data()[i]).epsilon(1e-12));
  ThreadPool pool(3);
  model.forward(texts.text(), other, pool);
  REQUIRE(std::equal(other.data(), other.data() + 9, packed.data()));

  Tensor<Index, 2> ids({3, 6}), types({3, 6});
  Tensor<bool, 2> key_mask({3, 6});
  for (Index s = 0; s < 3; ++s) {
    for (Index t = texts.text().first(s); t < texts.text().first(s) + texts.text().length(s); ++t) {
      const Index at = t - texts.text().first(s);
      ids(s, at) = texts.ids[static_cast<std::size_t>(t)];
      types(s, at) = texts.types[static_cast<std::size_t>(t)];
      key_mask(s, at) = true;
    }
  }
  model.forward({ids, key_mask, {}, types}, other);
  for (Index i = 0; i < 9; ++i) REQUIRE(other.data()[i] == Approx(packed.data()[i]).epsilon(1e-12));
}

TEST_CASE("a classifier's configuration comes from its own metadata or a masked language model's") {
  const model::SequenceClassifierConfig config = small_model("linear");
  const model::Metadata written = model::to_metadata(config);
  REQUIRE(written.at("kind") == "sequence_classifier");
  REQUIRE(model::to_metadata(model::sequence_classifier_config_from(written)) == written);
  const auto fresh = model::sequence_classifier_config_from(model::to_metadata(config.encoder));
  REQUIRE(fresh.num_labels == 2);
  REQUIRE(fresh.encoder.layer_norm_after);

  model::Metadata wrong = written;
  wrong["num_labels"] = "0";
  require_error<ArgumentError>([&] { model::sequence_classifier_config_from(wrong); },
                               "sequence_classifier: num_labels is 0, expected at least 1");
  model::SequenceClassifier<double> model(config);
  const std::vector<Index> ids{1, 2}, cuts{0, 2, 2};
  Tensor<double, 2> logits({2, 3});
  require_error<ArgumentError>(
      [&] {
        model.forward({View<const Index, 2>(ids.data(), {1, 2}), {}, cuts}, logits);
      },
      "sequence_classifier: sequence 1 has 0 tokens, expected at least 1");
  require_error<ArgumentError>([&] { model.backward(logits); },
                               "sequence_classifier: backward was called without a forward_train before it");
}
