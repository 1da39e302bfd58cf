#include <array>

#include "lion/model/masked_language_config.hpp"
#include "lion/model/text_batch.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using model::MaskedLanguageConfig;
using model::Metadata;

namespace {

Metadata small_model() {
  return {{"kind", "mlm"},
          {"vocab_size", "47"},
          {"hidden_size", "32"},
          {"num_attention_heads", "4"},
          {"num_hidden_layers", "2"},
          {"intermediate_size", "64"},
          {"mask_type", "linear"},
          {"position_embedding", "absolute"},
          {"layer_norm_after", "True"},
          {"layer_norm_eps", "1e-12"},
          {"note", "not of the model"}};
}

void refused(const std::string& key, const std::string& value, const std::string& message) {
  INFO(key << " = " << value);
  Metadata metadata = small_model();
  metadata[key] = value;
  require_error<ArgumentError>([&] { model::masked_language_config_from(metadata); }, "masked_language: " + message);
}

}  // namespace

TEST_CASE("the configuration of a masked language model is read from metadata and written back") {
  const MaskedLanguageConfig config = model::masked_language_config_from(small_model());
  REQUIRE(config.vocab_size == 47);
  REQUIRE(config.hidden_size == 32);
  REQUIRE(config.num_attention_heads == 4);
  REQUIRE(config.num_hidden_layers == 2);
  REQUIRE(config.intermediate_size == 64);
  REQUIRE(config.mask_type == "linear");
  REQUIRE(config.position_embeddings);
  REQUIRE(config.layer_norm_after);
  REQUIRE(config.layer_norm_eps == 1e-12);
  REQUIRE(config.max_position_embeddings == 512);
  const Metadata written = model::to_metadata(config);
  REQUIRE(written.at("kind") == "mlm");
  REQUIRE(written.at("position_embedding") == "absolute");
  REQUIRE(written.at("layer_norm_eps") == "1e-12");
  REQUIRE(model::to_metadata(model::masked_language_config_from(written)) == written);

  Metadata sparse = small_model();
  sparse.erase("position_embedding");
  sparse.erase("layer_norm_after");
  REQUIRE_FALSE(model::masked_language_config_from(sparse).position_embeddings);
  REQUIRE_FALSE(model::masked_language_config_from(sparse).layer_norm_after);
  sparse.erase("hidden_size");
  require_error<ArgumentError>([&] { model::masked_language_config_from(sparse); },
                               "masked_language: hidden_size is missing from the metadata");
}

TEST_CASE("wrong values of a masked language model are named") {
  refused("kind", "vision", "kind is 'vision', expected mlm");
  refused("vocab_size", "0", "vocab_size is 0, expected at least 1");
  refused("num_hidden_layers", "two", "num_hidden_layers is 'two', expected a whole number");
  refused("num_attention_heads", "5", "num_attention_heads is 5, expected a divisor of hidden_size 32");
  refused("mask_type", "bert", "mask_type is 'bert', expected one of linear, decay, selective, softmax, hydra");
  refused("position_embedding", "rotary", "position_embedding is 'rotary', expected one of none, absolute");
  refused("layer_norm_after", "yes", "layer_norm_after is 'yes', expected True or False");
  refused("layer_norm_eps", "0", "layer_norm_eps is 0, expected a number above 0");
  refused("hidden_dropout_prob", "1", "hidden_dropout_prob is 1, expected a value in [0, 1)");
  refused("form", "fast", "form is 'fast', expected one of full, rnn, chunk, auto");
}

TEST_CASE("Hydra has keys of its own") {
  auto metadata = model::to_metadata(MaskedLanguageConfig::large_size("hydra"));
  REQUIRE(metadata.at("num_hidden_layers") == "45");
  REQUIRE(metadata.at("hidden_size") == "1024");
  REQUIRE_FALSE(metadata.contains("num_attention_heads"));
  REQUIRE(model::to_metadata(model::masked_language_config_from(metadata)) == metadata);
  const auto contradicts = [&](const std::string& key, const std::string& value, const std::string& expected) {
    Metadata other = metadata;
    other[key] = value;
    require_error<ArgumentError>([&] { model::masked_language_config_from(other); },
                                 "masked_language: " + key + " is " + expected);
  };
  contradicts("position_embedding", "absolute", "'absolute', expected none for hydra");
  contradicts("layer_norm_after", "True", "True, expected False for hydra");
  contradicts("intermediate_size", "4096", "'4096', expected 0 or no such key for mask_type hydra");
  contradicts("num_attention_heads", "16", "'16', expected 0 or no such key for mask_type hydra");
  metadata["intermediate_size"] = "0";
  REQUIRE(model::masked_language_config_from(metadata).d_state == 64);
  refused("d_state", "64", "d_state is '64', expected 0 or no such key for mask_type linear");
  refused("head_dim", "64", "head_dim is '64', expected 0 or no such key for mask_type linear");
  metadata["head_dim"] = "48";
  require_error<ArgumentError>([&] { model::masked_language_config_from(metadata); },
                               "masked_language: head_dim is 48, expected a divisor of the inner width 2048");
  metadata.erase("d_state");
  require_error<ArgumentError>([&] { model::masked_language_config_from(metadata); },
                               "masked_language: d_state is missing from the metadata");
}

TEST_CASE("the sizes of the paper") {
  const auto large = MaskedLanguageConfig::large_size("linear");
  REQUIRE(large.hidden_size == 1024);
  REQUIRE(large.num_hidden_layers == 24);
  REQUIRE(large.position_embeddings);
  REQUIRE(large.layer_norm_after);
  REQUIRE_FALSE(MaskedLanguageConfig::base_size("decay").position_embeddings);
  REQUIRE_FALSE(MaskedLanguageConfig::base_size("softmax").layer_norm_after);
}

TEST_CASE("a batch of text knows its sequences, and what is wrong with it") {
  const std::array<Index, 6> ids{3, 1, 4, 1, 5, 9};
  const std::array<bool, 6> mask{true, true, false, true, true, true};
  const model::TextInputs padded{View<const Index, 2>(ids.data(), {2, 3}), View<const bool, 2>(mask.data(), {2, 3})};
  REQUIRE(padded.sequences() == 2);
  REQUIRE(padded.first(1) == 3);
  REQUIRE(padded.length(1) == 3);
  model::check_text("test", padded, 10, 2, 3);

  const std::array<Index, 4> cuts{0, 2, 2, 6};
  model::TextInputs packed{View<const Index, 2>(ids.data(), {1, 6}), {}, cuts};
  REQUIRE(packed.sequences() == 3);
  REQUIRE(packed.first(2) == 2);
  REQUIRE(packed.length(1) == 0);
  REQUIRE(packed.length(2) == 4);
  model::check_text("test", packed, 10, 2, 4);

  const auto wrong = [](const model::TextInputs& text, const std::string& message) {
    require_error<ArgumentError>([&] { model::check_text("test", text, 9, 2, 3); }, "test: " + message);
  };
  wrong({}, "ids is absent");
  wrong(padded, "ids[1,2] is 9, expected a value in [0, 9)");
  wrong({padded.ids, View<const bool, 2>(mask.data(), {3, 2})},
        "key_mask has shape [3,2], expected [2,3] to match ids");
  const std::array<Index, 6> types{0, 1, 0, 0, 1, 2}, few{0, 3, 1, 4, 1, 5};
  wrong({View<const Index, 2>(few.data(), {2, 3}), {}, {}, View<const Index, 2>(types.data(), {2, 3})},
        "type_ids[1,2] is 2, expected a value in [0, 2)");
  wrong({padded.ids, {}, {}, View<const Index, 2>(types.data(), {1, 6})},
        "type_ids has shape [1,6], expected [2,3] to match ids");
  wrong({padded.ids, {}, cuts}, "ids has shape [2,3], expected one row with cu_seqlens");
  wrong(packed, "sequence 2 has 4 tokens, expected at most 3");
  const std::array<Index, 2> late{1, 6}, early{0, 5};
  const std::array<Index, 3> back{0, 7, 6};
  wrong({packed.ids, {}, late}, "cu_seqlens[0] is 1, expected 0");
  wrong({packed.ids, {}, back}, "cu_seqlens[2] is 6, expected at least 7");
  wrong({packed.ids, {}, early}, "cu_seqlens[1] is 5, expected the length 6");
}
