#include "attention/allocation_counter.hpp"
#include "masked_language.hpp"
#include "nn/differences.hpp"

using namespace lion;

TEST_CASE("masked language models agree with the golden files in every form, padded and packed, float64") {
  mlm::check_all<double>(1e-9);
}

TEST_CASE("gradients with dropout are those of what was computed") {
  for (const char* mask : mlm::kModels) {
    INFO(mask);
    model::MaskedLanguageConfig config = model::MaskedLanguageConfig::base_size(mask);
    config.vocab_size = 11;
    config.hidden_size = 6;
    config.num_attention_heads = 2;
    config.num_hidden_layers = 2;
    config.intermediate_size = 5;
    config.d_state = 3;
    config.head_dim = 4;
    config.max_position_embeddings = 7;
    config.hidden_dropout_prob = 0.3;
    config.layer_norm_eps = 1e-3;
    model::MaskedLanguage<double> model(config);
    unsigned seed = 7;
    for (auto* p : model.parameters()) {
      for (Index i = 0; i < p->size(); ++i) {
        p->value(i) += 0.4 * (2 * nn::PlacedRandom(seed, 1).uniform(static_cast<std::uint64_t>(i)) - 1);
      }
      ++seed;
    }
    const std::vector<Index> ids{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, cuts{0, 4, 4, 11}, rows{5, 0, 5, 10, 3};
    const model::TextInputs text{View<const Index, 2>(ids.data(), {1, 11}), {}, cuts};
    Tensor<double, 2> logits({5, 11}), weights({5, 11});
    for (Index i = 0; i < weights.size(); ++i) weights.data()[i] = std::sin(static_cast<double>(3 * i + 1));
    const auto value = [&] {
      model.forward_train(text, rows, logits, {}, 21);
      return nn_test::inner(logits, weights);
    };
    value();
    model.zero_grad();
    model.backward(weights);
    nn_test::require_parameter_gradients(model, value);
  }
}

TEST_CASE("inference allocates nothing, needs what it says, and no more for a longer batch") {
  const mlm::Texts few({300, 200, 70}), many({200, 300, 250, 250, 100, 400, 70, 300, 200});
  for (const char* mask : mlm::kModels) {
    model::MaskedLanguage<double> model(mlm::small_model(mask));
    REQUIRE(model.activation_bytes(few.as_packed(), 5) == model.activation_bytes(many.as_packed(), 5));
    Tensor<double, 2> logits({static_cast<Index>(many.packed_rows.size()), 300}), borrowed(logits.shape());
    nn::Scratch scratch;
    ThreadPool pool(2);
    for (const char* form : {"full", "rnn", "chunk"}) {
      INFO(mask << ", form " << form);
      model.set_form(parse_form(form));
      const auto run = [&] { model.forward(many.as_packed(), many.packed_rows, logits, scratch, pool); };
      run();
      REQUIRE(test::allocations_in(run) == 0);
    }
    std::vector<unsigned char> activations(model.activation_bytes(many.as_packed(), logits.extent(0)), 0xff);  // NaN
    std::vector<unsigned char> attention(model.attention_bytes(many.as_packed(), pool), 0xff);
    nn::Scratch lent{Workspace(activations.data(), activations.size()), Workspace(attention.data(), attention.size())};
    model.forward(many.as_packed(), many.packed_rows, borrowed, lent, pool);
    REQUIRE(std::equal(logits.data(), logits.data() + logits.size(), borrowed.data()));
  }
}
