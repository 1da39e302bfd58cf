#pragma once
/// What a masked language model is made of, and its reading from and writing to a file's metadata.

#include <cstdint>
#include <string>

#include "lion/model/metadata.hpp"

namespace lion::model {

/// The model of math.md §7, or §9's Hydra. Keys of metadata have the names of the members, but `position_embedding`
/// says none or absolute. A file's `kind` says what a model is for (mlm, sequence_classifier), so Hydra is a mask_type.
struct MaskedLanguageConfig {
  Index vocab_size = 30522;
  Index hidden_size = 768;
  Index num_attention_heads = 12;  ///< not of hydra, which has no intermediate_size, positions or norm after, either
  Index num_hidden_layers = 12;
  Index intermediate_size = 3072;       ///< hidden width of the MLPs
  Index max_position_embeddings = 512;  ///< of models with positions: the longest sequence
  Index type_vocab_size = 2;            ///< segments that a text may have
  std::string mask_type = "selective";  ///< linear, decay, selective (LION), softmax (BERT), or hydra
  Index d_state = 64;                   ///< of hydra: width of a state
  Index head_dim = 64;                  ///< of hydra: width of a head
  bool position_embeddings = false;     ///< learned absolute positions
  bool layer_norm_after = false;        ///< a LayerNorm between the attention and its output projection
  double layer_norm_eps = 1e-12;        ///< of all other norms
  double hidden_dropout_prob = 0;       ///< in training: of the embeddings and of both branches of a block
  std::string form = "auto";            ///< full, rnn, chunk, auto
  Index chunk_size = 64;                ///< of form chunk
  std::uint64_t seed = 0;               ///< of the initial weights

  /// 110 M parameters, 12 blocks (hydra: 112 M, 23); with the positions and norms that the paper gives to models of
  /// this mask.
  static MaskedLanguageConfig base_size(const std::string& mask_type = "selective") {
    MaskedLanguageConfig config;
    config.mask_type = mask_type;
    config.position_embeddings = mask_type == "linear" || mask_type == "softmax";
    config.layer_norm_after = mask_type == "linear";
    if (mask_type == "hydra") config.num_hidden_layers = 23;
    return config;
  }

  /// 334 M parameters, 24 blocks (hydra: 45).
  static MaskedLanguageConfig large_size(const std::string& mask_type = "selective") {
    MaskedLanguageConfig config = base_size(mask_type);
    config.hidden_size = 1024;
    config.num_attention_heads = 16;
    config.num_hidden_layers = mask_type == "hydra" ? 45 : 24;
    config.intermediate_size = 4096;
    return config;
  }

  /// Throws ArgumentError that names the key.
  void check() const;

  /// f(key, member, required) for each key but position_embedding.
  template <class Config, class F>
  static void for_each_key(Config& config, F&& f) {
    f("vocab_size", config.vocab_size, true);
    f("hidden_size", config.hidden_size, true);
    f("mask_type", config.mask_type, true);
    const bool hydra = config.mask_type == "hydra";
    if (hydra) f("d_state", config.d_state, true);
    if (hydra) f("head_dim", config.head_dim, true);
    if (!hydra) f("num_attention_heads", config.num_attention_heads, true);
    if (!hydra) f("intermediate_size", config.intermediate_size, true);
    f("num_hidden_layers", config.num_hidden_layers, true);
    f("max_position_embeddings", config.max_position_embeddings, false);
    f("type_vocab_size", config.type_vocab_size, false);
    f("layer_norm_after", config.layer_norm_after, false);
    f("layer_norm_eps", config.layer_norm_eps, false);
    f("hidden_dropout_prob", config.hidden_dropout_prob, false);
    f("form", config.form, false);
    f("chunk_size", config.chunk_size, false);
    f("seed", config.seed, false);
  }
};

inline void MaskedLanguageConfig::check() const {
  constexpr const char* kModel = "masked_language";
  detail::require_positive(kModel, "vocab_size", vocab_size);
  detail::require_positive(kModel, "hidden_size", hidden_size);
  detail::require_positive(kModel, "num_attention_heads", num_attention_heads);
  detail::require_positive(kModel, "num_hidden_layers", num_hidden_layers);
  detail::require_positive(kModel, "intermediate_size", intermediate_size);
  detail::require_positive(kModel, "max_position_embeddings", max_position_embeddings);
  detail::require_positive(kModel, "type_vocab_size", type_vocab_size);
  if (mask_type == "hydra") {
    detail::require_positive(kModel, "d_state", d_state);
    detail::require_positive(kModel, "head_dim", head_dim);
    detail::require_divisor(kModel, "head_dim", head_dim, "the inner width", 2 * hidden_size);
    if (position_embeddings) detail::bad_config(kModel, "position_embedding", "'absolute'", "none for hydra");
    if (layer_norm_after) detail::bad_config(kModel, "layer_norm_after", "True", "False for hydra");
  } else {
    detail::require_divisor(kModel, "num_attention_heads", num_attention_heads, "hidden_size", hidden_size);
  }
  detail::require_one_of(kModel, "mask_type", mask_type, {"linear", "decay", "selective", "softmax", "hydra"});
  if (!(layer_norm_eps > 0)) {
    detail::bad_config(kModel, "layer_norm_eps", detail::written(layer_norm_eps), "a number above 0");
  }
  detail::require_rate(kModel, "hidden_dropout_prob", hidden_dropout_prob);
  detail::require_form(kModel, form, chunk_size);
}

/// The configuration that a file's metadata describes. Keys that are not of a model are passed over. Throws
/// ArgumentError that names a key that is missing, has a wrong value, or is of another mask_type.
inline MaskedLanguageConfig masked_language_config_from(const Metadata& metadata) {
  detail::require_kind("masked_language", metadata, "mlm");
  MaskedLanguageConfig config;
  detail::read_config("masked_language", metadata, config);
  if (const auto at = metadata.find("position_embedding"); at != metadata.end()) {
    detail::require_one_of("masked_language", "position_embedding", at->second, {"none", "absolute"});
    config.position_embeddings = at->second == "absolute";
  }
  const bool hydra = config.mask_type == "hydra";
  for (const char* key : {"num_attention_heads", "intermediate_size"}) {
    if (hydra) detail::require_none("masked_language", metadata, key, "0", "mask_type hydra");
  }
  for (const char* key : {"d_state", "head_dim"}) {
    if (!hydra) detail::require_none("masked_language", metadata, key, "0", "mask_type " + config.mask_type);
  }
  config.check();
  return config;
}

/// The metadata of a model's file; `masked_language_config_from` reads it back.
inline Metadata to_metadata(const MaskedLanguageConfig& config) {
  Metadata metadata{{"kind", "mlm"}, {"position_embedding", config.position_embeddings ? "absolute" : "none"}};
  detail::write_config(config, metadata);
  return metadata;
}

}  // namespace lion::model
