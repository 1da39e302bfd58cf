#pragma once
/// A vision model that the emulation runs in a moment.

#include "lion/model/vision_config.hpp"

namespace lion::test {

inline model::VisionConfig small_model(const char* mask) {
  model::VisionConfig config;
  config.image_size = 12;
  config.patch_size = 4;
  config.embed_dim = 42;  // three heads of 14: no row is of whole packs
  config.num_heads = 3;
  config.depth = 2;
  config.num_classes = 10;
  config.mask_type = mask;
  return config;
}

}  // namespace lion::test
