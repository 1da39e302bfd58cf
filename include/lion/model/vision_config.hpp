#pragma once
/// What a vision model is made of, and its reading from and writing to a file's metadata.

#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "lion/visit.hpp"

namespace lion::model {

/// Names to values, as in the header of a safetensors file. Booleans are True or False.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// The model of math.md §6. Keys of metadata have the names of the members.
struct VisionConfig {
  Index image_size = 224;  ///< height and width that positions are made for
  Index patch_size = 16;
  Index in_chans = 3;
  Index embed_dim = 192;
  Index num_heads = 3;
  Index depth = 12;
  Index num_classes = 1000;
  std::string mask_type = "selective";  ///< linear, decay, selective (LION), or softmax (ViT)
  std::string order = "row_major";      ///< row_major, or s_curve: both curves (♮)
  bool pos_emb = true;                  ///< learned positions
  bool cls_tok = true;                  ///< classify by the class token; else by the mean over all tokens, it included
  double mlp_ratio = 4;                 ///< hidden width of the MLP over embed_dim
  double drop_path = 0;                 ///< of the last block in training; linear over depth from 0
  double dropout = 0;                   ///< in training: embedding, projections, activation of the MLP
  std::string form = "auto";            ///< full, rnn, chunk, auto
  Index chunk_size = 64;                ///< of form chunk
  std::uint64_t seed = 0;               ///< of the initial weights

  static VisionConfig tiny_size() { return {}; }
  static VisionConfig small_size() { return sized(384, 6); }
  static VisionConfig base_size() { return sized(768, 12); }

  Index hidden() const { return static_cast<Index>(mlp_ratio * static_cast<double>(embed_dim)); }
  Index orders() const { return order == "s_curve" ? 2 : 1; }

  /// Throws ArgumentError that names the key.
  void check() const;

 private:
  static VisionConfig sized(Index width, Index heads) {
    VisionConfig config;
    config.embed_dim = width;
    config.num_heads = heads;
    return config;
  }
};

namespace detail {

[[noreturn]] inline void bad_config(const std::string& key, const std::string& value, const std::string& expected) {
  throw ArgumentError("vision: " + key + " is " + value + ", expected " + expected);
}

inline void read_value(const std::string& key, const std::string& text, Index& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) bad_config(key, "'" + text + "'", "a whole number");
}
inline void read_value(const std::string& key, const std::string& text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    bad_config(key, "'" + text + "'", "a whole number of at least 0");
  }
}
inline void read_value(const std::string& key, const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) bad_config(key, "'" + text + "'", "a number");
}
inline void read_value(const std::string& key, const std::string& text, bool& value) {
  if (text != "True" && text != "False") bad_config(key, "'" + text + "'", "True or False");
  value = text == "True";
}
inline void read_value(const std::string&, const std::string& text, std::string& value) { value = text; }

inline std::string written(Index value) { return std::to_string(value); }
inline std::string written(std::uint64_t value) { return std::to_string(value); }
inline std::string written(bool value) { return value ? "True" : "False"; }
inline std::string written(const std::string& value) { return value; }
inline std::string written(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);  // shortest that reads back the same
}

/// f(key, member, required) for each key.
template <class Config, class F>
void for_each_key(Config& config, F&& f) {
  f("image_size", config.image_size, true);
  f("patch_size", config.patch_size, true);
  f("in_chans", config.in_chans, false);
  f("embed_dim", config.embed_dim, true);
  f("num_heads", config.num_heads, true);
  f("depth", config.depth, true);
  f("num_classes", config.num_classes, true);
  f("mask_type", config.mask_type, true);
  f("order", config.order, false);
  f("pos_emb", config.pos_emb, false);
  f("cls_tok", config.cls_tok, false);
  f("mlp_ratio", config.mlp_ratio, false);
  f("drop_path", config.drop_path, false);
  f("dropout", config.dropout, false);
  f("form", config.form, false);
  f("chunk_size", config.chunk_size, false);
  f("seed", config.seed, false);
}

}  // namespace detail

inline void VisionConfig::check() const {
  const auto positive = [](const char* key, Index value) {
    if (value < 1) detail::bad_config(key, std::to_string(value), "at least 1");
  };
  positive("image_size", image_size);
  positive("patch_size", patch_size);
  positive("in_chans", in_chans);
  positive("embed_dim", embed_dim);
  positive("num_heads", num_heads);
  positive("depth", depth);
  positive("num_classes", num_classes);
  if (image_size % patch_size != 0) {
    detail::bad_config("image_size", std::to_string(image_size),
                       "a multiple of patch_size " + detail::written(patch_size));
  }
  if (embed_dim % num_heads != 0) {
    detail::bad_config("num_heads", std::to_string(num_heads), "a divisor of embed_dim " + detail::written(embed_dim));
  }
  if (mask_type != "linear" && mask_type != "decay" && mask_type != "selective" && mask_type != "softmax") {
    detail::bad_config("mask_type", "'" + mask_type + "'", "one of linear, decay, selective, softmax");
  }
  if (order != "row_major" && order != "s_curve") {
    detail::bad_config("order", "'" + order + "'", "one of row_major, s_curve");
  }
  if (form != "full" && form != "rnn" && form != "chunk" && form != "auto") {
    detail::bad_config("form", "'" + form + "'", "one of full, rnn, chunk, auto");
  }
  positive("chunk_size", chunk_size);
  if (!std::isfinite(mlp_ratio) || hidden() < 1) {
    detail::bad_config("mlp_ratio", detail::written(mlp_ratio), "a number that gives a hidden width of at least 1");
  }
  for (const auto& [key, rate] : {std::pair("drop_path", drop_path), std::pair("dropout", dropout)}) {
    if (!(rate >= 0 && rate < 1)) detail::bad_config(key, detail::written(rate), "a value in [0, 1)");
  }
}

/// The configuration that a file's metadata describes. Keys that are not of a model are passed over. Throws
/// ArgumentError that names a key that is missing or has a wrong value.
inline VisionConfig vision_config_from(const Metadata& metadata) {
  if (const auto kind = metadata.find("kind"); kind != metadata.end() && kind->second != "vision") {
    detail::bad_config("kind", "'" + kind->second + "'", "vision");
  }
  VisionConfig config;
  config.pos_emb = config.cls_tok = false;  // what a file does not say it does not have
  detail::for_each_key(config, [&](const char* key, auto& member, bool required) {
    const auto at = metadata.find(key);
    if (at != metadata.end()) {
      detail::read_value(key, at->second, member);
    } else if (required) {
      throw ArgumentError(std::string("vision: ") + key + " is missing from the metadata");
    }
  });
  if (const auto at = metadata.find("distilled"); at != metadata.end()) {
    bool distilled = false;
    detail::read_value("distilled", at->second, distilled);
    if (distilled) {
      throw UnavailableError("vision: distilled is True, but models with a distillation token are not in this version");
    }
  }
  config.check();
  return config;
}

/// The metadata of a model's file; `vision_config_from` reads it back.
inline Metadata to_metadata(const VisionConfig& config) {
  Metadata metadata{{"kind", "vision"}, {"distilled", "False"}};
  detail::for_each_key(config,
                       [&](const char* key, const auto& member, bool) { metadata[key] = detail::written(member); });
  return metadata;
}

}  // namespace lion::model
