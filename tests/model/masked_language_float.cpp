#include <cmath>
#include <new>
#include <utility>

#include "masked_language.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

bool same(const Tensor<float, 2>& a, const Tensor<float, 2>& b) {
  return a.shape() == b.shape() && std::equal(a.data(), a.data() + a.size(), b.data());
}

/// Fails at the call after so many.
struct Failing {
  Index calls;
  Index concurrency() const { return 1; }
  template <class F>
  void parallel_for(Index n, F&& f) {
    if (calls-- == 0) throw std::bad_alloc();
    for (Index i = 0; i < n; ++i) f(i);
  }
};

}  // namespace

TEST_CASE("masked language models agree with the golden files in every form, padded and packed, float32") {
  mlm::check_all<float>(1e-4);
}

TEST_CASE("sequences packed, padded, and alone have the same logits, in groups and of any order of rows") {
  const mlm::Texts texts({200, 1, 130, 300, 2, 400, 90});
  for (const char* mask : mlm::kModels) {
    INFO(mask);
    model::MaskedLanguage<float> model(mlm::small_model(mask));
    const auto count = static_cast<Index>(texts.packed_rows.size());
    auto packed = mlm::poisoned<float>(count, 300), padded = packed.clone(), trained = packed.clone();
    model.forward(texts.as_packed(), texts.packed_rows, packed);
    model.forward(texts.as_padded(), texts.padded_rows, padded);
    model.forward_train(texts.as_packed(), texts.packed_rows, trained);
    REQUIRE(mlm::relative_error(padded.data(), mlm::doubles(packed)) < 1e-5);
    REQUIRE(mlm::relative_error(trained.data(), mlm::doubles(packed)) < 1e-5);

    const View<const Index, 2> last(texts.packed.view().at(0, texts.cuts[6]), {1, 90});
    std::vector<Index> rows;
    for (auto row = texts.packed_rows.rbegin(); *row >= texts.cuts[6]; ++row) rows.push_back(*row - texts.cuts[6]);
    auto alone = mlm::poisoned<float>(static_cast<Index>(rows.size()), 300);
    model.forward({last}, rows, alone);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto at = static_cast<Index>(r);
      const std::vector<double> expected(packed.view().at(count - 1 - at), packed.view().at(count - at));
      REQUIRE(mlm::relative_error(alone.view().at(at), expected) < 1e-5);
    }
  }
}

TEST_CASE("a masked language model computes the same bits for any number of threads") {
  const mlm::Texts texts({40, 3, 150, 90});
  for (const char* mask : mlm::kModels) {
    INFO(mask);
    model::MaskedLanguageConfig config = mlm::small_model(mask);
    config.hidden_dropout_prob = 0.1;
    model::MaskedLanguage<float> model(config);
    const auto count = static_cast<Index>(texts.padded_rows.size());
    Tensor<float, 2> logits({count, 300}), trained({count, 300}), again({count, 300}), dlogits({count, 300});
    for (Index i = 0; i < dlogits.size(); ++i) dlogits.data()[i] = std::sin(static_cast<float>(i));
    const auto gradients = [&](Executor executor) {
      model.zero_grad();
      model.backward(dlogits, executor);
      std::vector<float> all;
      for (const auto* p : model.parameters()) all.insert(all.end(), p->grad.data(), p->grad.data() + p->size());
      return all;
    };
    model.forward(texts.as_padded(), texts.padded_rows, logits);
    model.forward_train(texts.as_padded(), texts.padded_rows, trained, {}, 5);
    const std::vector<float> expected = gradients({});
    for (const Index threads : {2, 3}) {
      ThreadPool pool(threads);
      model.forward(texts.as_padded(), texts.padded_rows, again, pool);
      REQUIRE(same(again, logits));
      model.forward_train(texts.as_padded(), texts.padded_rows, again, pool, 5);
      REQUIRE(same(again, trained));
      REQUIRE(gradients(pool) == expected);
    }
    model.forward_train(texts.as_padded(), texts.padded_rows, again, {}, 6);
    REQUIRE_FALSE(same(again, trained));  // another seed, other noise
  }
}

TEST_CASE("parameters carry the names of a BERT state dict and their number is that of the paper's models") {
  const auto count = [](model::MaskedLanguageConfig config, Index vocabulary, Index layers) {
    config.vocab_size = vocabulary;
    config.num_hidden_layers = layers;
    return model::MaskedLanguage<float>(config, model::Initial::zero).parameter_count();
  };
  // Linear in the vocabulary and in the layers: small models say how large the large ones are.
  const auto total = [&](const model::MaskedLanguageConfig& config) {
    const Index base = count(config, 1, 1), word = count(config, 2, 1) - base, layer = count(config, 1, 2) - base;
    return base + (config.vocab_size - 1) * word + (config.num_hidden_layers - 1) * layer;
  };
  REQUIRE(total(model::MaskedLanguageConfig::base_size("softmax")) == 109514298);   // bert-base-uncased
  REQUIRE(total(model::MaskedLanguageConfig::large_size("softmax")) == 335174458);  // bert-large-uncased
  REQUIRE(total(model::MaskedLanguageConfig::large_size("hydra")) == Approx(334.2e6).epsilon(1e-3));
  REQUIRE(total(model::MaskedLanguageConfig::base_size("hydra")) == Approx(112e6).epsilon(5e-3));
  for (const char* mask : {"linear", "decay", "selective"}) {
    INFO(mask);
    const double base = static_cast<double>(total(model::MaskedLanguageConfig::base_size(mask)));
    const double large = static_cast<double>(total(model::MaskedLanguageConfig::large_size(mask)));
    REQUIRE(base / 1e6 == Approx(109.5).margin(0.6));
    REQUIRE(large / 1e6 == Approx(334.9).margin(0.5));
  }
  std::vector<std::string> hydra;
  model::MaskedLanguage<float> state_space(mlm::small_model("hydra"), model::Initial::zero);
  for (const auto* p : state_space.parameters()) hydra.push_back(p->name);
  for (const char* name :
       {"in_proj.weight", "conv1d.weight", "dt_bias", "A_log", "D", "fc_D.weight", "norm.weight", "out_proj.weight"}) {
    INFO(name);
    REQUIRE(std::count(hydra.begin(), hydra.end(), std::string("bert.encoder.layer.1.layer.mixer.") + name) == 1);
  }
  REQUIRE(std::count(hydra.begin(), hydra.end(), "bert.encoder.layer.1.layer.norm.weight") == 1);
  model::MaskedLanguage<float> model(mlm::small_model("softmax"), model::Initial::zero);
  REQUIRE(model.parameters().front()->name == "bert.embeddings.word_embeddings.weight");
  REQUIRE(model.parameters().back()->name == "cls.predictions.bias");
}

TEST_CASE("a masked language model says what does not fit") {
  model::MaskedLanguageConfig config = mlm::small_model("softmax");
  config.max_position_embeddings = 8;
  model::MaskedLanguage<float> model(config);
  const mlm::Texts texts({4, 8}), longer({9});
  Tensor<float, 2> logits({4, 300});
  const std::vector<Index> rows{0, 4, 5, 11}, outside{0, 16, 1, 1};
  const auto wrong = [&](const model::TextInputs& text, const std::vector<Index>& of, View<float, 2> out,
                         const std::string& message) {
    require_error<ArgumentError>([&] { model.forward(text, of, out); }, "masked_language: " + message);
    require_error<ArgumentError>([&] { model.forward_train(text, of, out); }, "masked_language: " + message);
  };
  wrong(texts.as_padded(), outside, logits, "rows[1] is 16, expected a value in [0, 16)");
  wrong(longer.as_packed(), rows, logits, "sequence 0 has 9 tokens, expected at most 8");
  wrong(texts.as_padded(), {0, 1}, logits, "logits has shape [4,300], expected [2,300]");
  require_error<ArgumentError>([&] { model.backward(logits); },
                               "masked_language: backward was called without a forward_train before it");
  model.forward_train(texts.as_padded(), rows, logits);
  Tensor<float, 2> narrow({4, 299});
  require_error<ArgumentError>([&] { model.backward(narrow); },
                               "masked_language: dlogits has shape [4,299], expected [4,300]");
  const View<float, 2> nothing(nullptr, {0, 300});
  model.forward(texts.as_padded(), {}, nothing);
  const model::TextInputs empty{View<const Index, 2>(nullptr, {3, 0})}, none{View<const Index, 2>(nullptr, {0, 4})};
  model.forward(empty, {}, nothing);
  model.forward(none, {}, nothing);
  require_error<ArgumentError>([&] { model.forward_train(none, {}, nothing); },
                               "masked_language: ids has shape [0,4], expected at least one token to train on");
}

TEST_CASE("a step that an exception left is not gone on with") {
  const mlm::Texts texts({5, 3});
  model::MaskedLanguage<float> model(mlm::small_model("selective"));
  Tensor<float, 2> logits({static_cast<Index>(texts.packed_rows.size()), 300});
  const auto backward = [&](Executor executor) {
    return [&, executor] { model.backward(std::as_const(logits).view(), executor); };
  };
  const char* none = "masked_language: backward was called without a forward_train before it";
  Failing early{2}, late{1};
  model.forward_train(texts.as_packed(), texts.packed_rows, logits);
  REQUIRE_THROWS_AS(model.forward_train(texts.as_packed(), texts.packed_rows, logits, early), std::bad_alloc);
  require_error<ArgumentError>(backward({}), none);
  model.forward_train(texts.as_packed(), texts.packed_rows, logits);
  REQUIRE_THROWS_AS(backward(late)(), std::bad_alloc);
  require_error<ArgumentError>(backward({}), none);  // it would add to gradients that have their part already
}
