#include "lion/model/vision_config.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using namespace lion;
using model::Metadata;

namespace {
Metadata small() {
  return {{"kind", "vision"},   {"image_size", "20"},   {"patch_size", "4"},    {"in_chans", "3"},
          {"embed_dim", "24"},  {"num_heads", "3"},     {"depth", "2"},         {"num_classes", "7"},
          {"pos_emb", "True"},  {"mask_type", "decay"}, {"order", "s_curve"},   {"cls_tok", "False"},
          {"mlp_ratio", "4.0"}, {"distilled", "False"}, {"optimizer", "AdamW"}, {"form", "chunk"},
          {"chunk_size", "16"}, {"drop_path", "0.1"}};
}

void refused(const std::string& key, const std::string& value, const std::string& message) {
  INFO(key << " = " << value);
  Metadata metadata = small();
  metadata[key] = value;
  require_error<ArgumentError>([&] { model::vision_config_from(metadata); }, "vision: " + message);
}
}  // namespace

TEST_CASE("a configuration is read from metadata and written back") {
  const model::VisionConfig config = model::vision_config_from(small());
  REQUIRE(config.image_size == 20);
  REQUIRE(config.mask_type == "decay");
  REQUIRE(config.orders() == 2);
  REQUIRE(config.pos_emb);
  REQUIRE_FALSE(config.cls_tok);
  REQUIRE(config.hidden() == 96);
  REQUIRE(config.form == "chunk");
  REQUIRE(config.chunk_size == 16);
  REQUIRE(config.drop_path == 0.1);
  const Metadata written = model::to_metadata(config);
  REQUIRE(written.at("cls_tok") == "False");
  REQUIRE(written.at("distilled") == "False");
  REQUIRE(written.at("mlp_ratio") == "4");
  REQUIRE(model::to_metadata(model::vision_config_from(written)) == written);
}

TEST_CASE("what metadata does not say, a file does not have") {
  Metadata metadata = small();
  for (const char* key : {"kind", "pos_emb", "cls_tok", "order", "in_chans", "mlp_ratio", "distilled", "form"}) {
    metadata.erase(key);
  }
  const model::VisionConfig config = model::vision_config_from(metadata);
  REQUIRE_FALSE(config.pos_emb);
  REQUIRE_FALSE(config.cls_tok);
  REQUIRE(config.orders() == 1);
  REQUIRE(config.form == "auto");
  metadata.erase("embed_dim");
  require_error<ArgumentError>([&] { model::vision_config_from(metadata); },
                               "vision: embed_dim is missing from the metadata");
}

TEST_CASE("wrong values are named") {
  refused("kind", "mlm", "kind is 'mlm', expected one of vision, hydra, vim");
  refused("depth", "two", "depth is 'two', expected a whole number");
  refused("depth", "2.5", "depth is '2.5', expected a whole number");
  refused("depth", "0", "depth is 0, expected at least 1");
  refused("pos_emb", "true", "pos_emb is 'true', expected True or False");
  refused("distilled", "yes", "distilled is 'yes', expected True or False");
  refused("mlp_ratio", "wide", "mlp_ratio is 'wide', expected a number");
  refused("mlp_ratio", "0.01", "mlp_ratio is 0.01, expected a number that gives a hidden width of at least 1");
  refused("num_heads", "5", "num_heads is 5, expected a divisor of embed_dim 24");
  refused("image_size", "21", "image_size is 21, expected a multiple of patch_size 4");
  refused("mask_type", "lit", "mask_type is 'lit', expected one of linear, decay, selective, softmax");
  refused("order", "hilbert", "order is 'hilbert', expected one of row_major, s_curve");
  refused("form", "fast", "form is 'fast', expected one of full, rnn, chunk, auto");
  refused("chunk_size", "0", "chunk_size is 0, expected at least 1");
  refused("drop_path", "1", "drop_path is 1, expected a value in [0, 1)");
  refused("dropout", "-0.5", "dropout is -0.5, expected a value in [0, 1)");
  refused("seed", "-1", "seed is '-1', expected a whole number of at least 0");
  refused("mlp_ratio", "nan", "mlp_ratio is nan, expected a number that gives a hidden width of at least 1");
}

TEST_CASE("state spaces have keys of their own, and Vim its class token and positions without a word") {
  Metadata metadata = small();
  for (const char* key : {"num_heads", "mask_type", "order"}) metadata.erase(key);
  metadata["kind"] = "hydra";
  require_error<ArgumentError>([&] { model::vision_config_from(metadata); },
                               "vision: d_state is missing from the metadata");
  metadata["d_state"] = "8";
  metadata["head_dim"] = "16";
  const model::VisionConfig hydra = model::vision_config_from(metadata);
  REQUIRE(hydra.kind == "hydra");
  REQUIRE(hydra.d_state == 8);
  REQUIRE(hydra.head_dim == 16);
  REQUIRE(hydra.orders() == 1);
  REQUIRE_FALSE(hydra.cls_tok);
  REQUIRE_FALSE(hydra.middle());
  const Metadata written = model::to_metadata(hydra);
  REQUIRE(written.at("kind") == "hydra");
  REQUIRE_FALSE(written.contains("num_heads"));
  REQUIRE(model::to_metadata(model::vision_config_from(written)) == written);
  metadata["head_dim"] = "9";
  require_error<ArgumentError>([&] { model::vision_config_from(metadata); },
                               "vision: head_dim is 9, expected a divisor of the inner width 48");

  metadata["kind"] = "vim";
  for (const char* key : {"pos_emb", "head_dim", "mlp_ratio"}) metadata.erase(key);
  model::VisionConfig vim = model::vision_config_from(metadata);  // cls_tok is False
  REQUIRE(vim.pos_emb);
  REQUIRE(vim.cls_tok);
  REQUIRE(vim.middle());
  const Metadata of_vim = model::to_metadata(vim);
  REQUIRE_FALSE(of_vim.contains("mlp_ratio"));
  REQUIRE(model::to_metadata(model::vision_config_from(of_vim)) == of_vim);
  vim.cls_tok = false;
  require_error<ArgumentError>([&] { vim.check(); }, "vision: cls_tok is False, expected True for vim");
  metadata["d_state"] = "0";
  require_error<ArgumentError>([&] { model::vision_config_from(metadata); },
                               "vision: d_state is 0, expected at least 1");
}

TEST_CASE("what a file says that is of another kind of model is refused, unless it says that there is none") {
  const auto sparse = [](const std::string& kind) {
    Metadata metadata = small();
    for (const char* key : {"num_heads", "mask_type", "order", "pos_emb", "mlp_ratio"}) metadata.erase(key);
    metadata["kind"] = kind;
    metadata["d_state"] = "8";
    if (kind == "hydra") metadata["head_dim"] = "16";
    return metadata;
  };
  const auto contradicts = [](Metadata metadata, const std::string& key, const std::string& value,
                              const std::string& expected) {
    INFO(metadata.at("kind") << ", " << key << " = " << value);
    metadata[key] = value;
    require_error<ArgumentError>([&] { model::vision_config_from(metadata); },
                                 "vision: " + key + " is " + value + ", expected " + expected);
  };
  const auto foreign = [](Metadata metadata, const std::string& key, const std::string& value,
                          const std::string& none) {
    const std::string kind = metadata.at("kind");
    INFO(kind << ", " << key << " = " << value);
    metadata[key] = value;
    require_error<ArgumentError>(
        [&] { model::vision_config_from(metadata); },
        "vision: " + key + " is '" + value + "', expected " + none + " or no such key for kind " + kind);
    metadata[key] = none;
    REQUIRE(model::vision_config_from(metadata).kind == kind);
  };
  for (const std::string kind : {"hydra", "vim"}) {
    foreign(sparse(kind), "num_heads", "3", "0");
    foreign(sparse(kind), "mask_type", "decay", kind);
    Metadata curved = sparse(kind);
    curved["order"] = "s_curve";
    require_error<ArgumentError>([&] { model::vision_config_from(curved); },
                                 "vision: order is 's_curve', expected row_major for " + kind);
    curved["order"] = "row_major";
    REQUIRE(model::vision_config_from(curved).orders() == 1);
  }
  foreign(sparse("vim"), "head_dim", "16", "0");
  foreign(sparse("vim"), "mlp_ratio", "4.0", "0");
  contradicts(sparse("vim"), "pos_emb", "False", "True for vim");
  contradicts(sparse("vim"), "distilled", "True", "False for vim");
  foreign(small(), "d_state", "8", "0");
  foreign(small(), "head_dim", "16", "0");
}

TEST_CASE("a distilled model has two tokens before the patches and two classifiers") {
  Metadata metadata = small();
  REQUIRE(model::vision_config_from(metadata).prefix() == 1);
  REQUIRE(model::vision_config_from(metadata).classifiers() == 1);
  metadata["distilled"] = "True";
  const model::VisionConfig config = model::vision_config_from(metadata);
  REQUIRE(config.prefix() == 2);
  REQUIRE(config.classifiers() == 2);
  REQUIRE(model::to_metadata(config).at("distilled") == "True");
}
