#pragma once
/// What a vision model is made of, and its reading from and writing to a file's metadata.

#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>

#include "lion/model/metadata.hpp"

namespace lion::model {

/// The model of math.md §6, or §9's DeiT, Hydra and Vim. Keys of metadata have the names of the members.
struct VisionConfig {
  std::string kind = "vision";  ///< vision: attention; hydra: Hydra's mixer in its place; vim: Vim's mixers alone
  Index image_size = 224;       ///< height and width that positions are made for
  Index patch_size = 16;
  Index in_chans = 3;
  Index embed_dim = 192;
  Index num_heads = 3;  ///< of kind vision, as mask_type is
  Index depth = 12;
  Index num_classes = 1000;
  std::string mask_type = "selective";  ///< linear, decay, selective (LION), or softmax (ViT)
  std::string order = "row_major";      ///< row_major, or of kind vision s_curve: both curves (♮)
  Index d_state = 64;                   ///< of kinds hydra and vim: width of a state
  Index head_dim = 64;                  ///< of kind hydra: width of a head
  bool pos_emb = true;                  ///< learned positions; vim has them
  bool cls_tok = true;        ///< classify by the class token; else by the mean over all tokens, it included; vim does
  bool distilled = false;     ///< a distillation token and a head on each token, whatever cls_tok says
  double mlp_ratio = 4;       ///< hidden width of the MLP over embed_dim; vim has none
  double drop_path = 0;       ///< of the last block in training; linear over depth from 0
  double dropout = 0;         ///< in training: embedding, projections, activation of the MLP
  std::string form = "auto";  ///< full, rnn, chunk, auto
  Index chunk_size = 64;      ///< of form chunk
  std::uint64_t seed = 0;     ///< of the initial weights

  static VisionConfig tiny_size() { return {}; }
  static VisionConfig small_size() { return sized(384, 6); }
  static VisionConfig base_size() { return sized(768, 12); }
  static VisionConfig hydra_base_size() {
    VisionConfig config = base_size();
    config.kind = "hydra";
    config.pos_emb = config.cls_tok = false;
    return config;
  }
  static VisionConfig vim_base_size() {
    VisionConfig config = base_size();
    config.kind = "vim";
    config.depth = 24;
    config.d_state = 16;
    return config;
  }

  Index hidden() const { return static_cast<Index>(mlp_ratio * static_cast<double>(embed_dim)); }
  Index orders() const { return order == "s_curve" ? 2 : 1; }
  Index classifiers() const { return distilled ? 2 : 1; }  ///< heads of the model: for the class, for the teacher's
  Index prefix() const { return distilled ? 2 : 1; }       ///< tokens beside the patches: class, distillation
  bool middle() const { return kind == "vim"; }            ///< the class token stands amid the patches, not before

  /// Throws ArgumentError that names the key.
  void check() const;

  /// f(key, member, required) for each key.
  template <class Config, class F>
  static void for_each_key(Config& config, F&& f) {
    f("kind", config.kind, false);
    const bool attention = config.kind == "vision";
    f("image_size", config.image_size, true);
    f("patch_size", config.patch_size, true);
    f("in_chans", config.in_chans, false);
    f("embed_dim", config.embed_dim, true);
    if (attention) f("num_heads", config.num_heads, true);
    f("depth", config.depth, true);
    f("num_classes", config.num_classes, true);
    if (attention) f("mask_type", config.mask_type, true);
    f("order", config.order, false);
    if (!attention) f("d_state", config.d_state, true);
    if (config.kind == "hydra") f("head_dim", config.head_dim, true);
    f("pos_emb", config.pos_emb, false);
    f("cls_tok", config.cls_tok, false);
    f("distilled", config.distilled, false);
    if (config.kind != "vim") f("mlp_ratio", config.mlp_ratio, false);
    f("drop_path", config.drop_path, false);
    f("dropout", config.dropout, false);
    f("form", config.form, false);
    f("chunk_size", config.chunk_size, false);
    f("seed", config.seed, false);
  }

 private:
  static VisionConfig sized(Index width, Index heads) {
    VisionConfig config;
    config.embed_dim = width;
    config.num_heads = heads;
    return config;
  }
};

inline void VisionConfig::check() const {
  constexpr const char* kModel = "vision";
  detail::require_one_of(kModel, "kind", kind, {"vision", "hydra", "vim"});
  detail::require_positive(kModel, "image_size", image_size);
  detail::require_positive(kModel, "patch_size", patch_size);
  detail::require_positive(kModel, "in_chans", in_chans);
  detail::require_positive(kModel, "embed_dim", embed_dim);
  detail::require_positive(kModel, "num_heads", num_heads);
  detail::require_positive(kModel, "depth", depth);
  detail::require_positive(kModel, "num_classes", num_classes);
  if (image_size % patch_size != 0) {
    detail::bad_config(kModel, "image_size", std::to_string(image_size),
                       "a multiple of patch_size " + std::to_string(patch_size));
  }
  if (kind == "vision") detail::require_divisor(kModel, "num_heads", num_heads, "embed_dim", embed_dim);
  if (kind != "vision") detail::require_positive(kModel, "d_state", d_state);
  if (kind == "hydra") {
    detail::require_positive(kModel, "head_dim", head_dim);
    detail::require_divisor(kModel, "head_dim", head_dim, "the inner width", 2 * embed_dim);
  }
  for (const auto& [key, value, must] : {std::tuple("pos_emb", pos_emb, true), std::tuple("cls_tok", cls_tok, true),
                                         std::tuple("distilled", distilled, false)}) {
    if (middle() && value != must) {
      detail::bad_config(kModel, key, detail::written(value), detail::written(must) + " for vim");
    }
  }
  detail::require_one_of(kModel, "mask_type", mask_type, {"linear", "decay", "selective", "softmax"});
  detail::require_one_of(kModel, "order", order, {"row_major", "s_curve"});
  if (kind != "vision" && orders() > 1) detail::bad_config(kModel, "order", "'" + order + "'", "row_major for " + kind);
  detail::require_form(kModel, form, chunk_size);
  if (!std::isfinite(mlp_ratio) || hidden() < 1) {
    detail::bad_config(kModel, "mlp_ratio", detail::written(mlp_ratio),
                       "a number that gives a hidden width of at least 1");
  }
  detail::require_rate(kModel, "drop_path", drop_path);
  detail::require_rate(kModel, "dropout", dropout);
}

/// The configuration that a file's metadata describes. Keys that are not of a model are passed over, and so is what a
/// file says of Vim's cls_tok: it always has the token amid the patches, of which its authors' files say False. Throws
/// ArgumentError that names a key that is missing, has a wrong value, or is of another kind of model.
inline VisionConfig vision_config_from(const Metadata& metadata) {
  VisionConfig config;
  if (const auto at = metadata.find("kind"); at != metadata.end()) {
    detail::require_one_of("vision", "kind", at->second, {"vision", "hydra", "vim"});
  }
  config.pos_emb = config.cls_tok = false;  // what a file does not say it does not have
  detail::read_config("vision", metadata, config);
  if (config.middle()) config.cls_tok = true;
  if (config.middle() && !metadata.contains("pos_emb")) config.pos_emb = true;
  const auto none = [&](const char* key, const std::string& value) {
    detail::require_none("vision", metadata, key, value, "kind " + config.kind);
  };
  if (config.kind != "vision") none("num_heads", "0"), none("mask_type", config.kind);
  if (config.kind == "vision") none("d_state", "0");
  if (config.kind != "hydra") none("head_dim", "0");
  if (config.kind == "vim") none("mlp_ratio", "0");
  config.check();
  return config;
}

/// The metadata of a model's file; `vision_config_from` reads it back.
inline Metadata to_metadata(const VisionConfig& config) {
  Metadata metadata;
  detail::write_config(config, metadata);
  return metadata;
}

}  // namespace lion::model
