#pragma once
/// Image models of bench/figures, and what peers compute the same from.

#include <string>

#include "figures/subject.hpp"
#include "lion/io/model.hpp"
#include "lion/model/vision.hpp"

namespace lion::bench {

inline model::VisionConfig vision_config(const SubjectOptions& o) {
  model::VisionConfig config = model::VisionConfig::base_size();
  if (o.kind == "hydra") config = model::VisionConfig::hydra_base_size();
  if (o.kind == "vim") config = model::VisionConfig::vim_base_size();
  if (o.size == "tiny") config.embed_dim = 64, config.num_heads = 1, config.depth = 2;
  config.kind = o.kind;
  config.image_size = o.image_size;
  config.mask_type = o.mask;
  config.form = o.form;
  config.chunk_size = o.chunk_size;
  return config;
}

/// Images [batch,3,image_size,image_size] of values in [-1,1).
inline Tensor<float, 4> vision_images(const SubjectOptions& o) {
  Tensor<float, 4> images({o.batch, 3, o.image_size, o.image_size});
  const nn::PlacedRandom random(0, 0);
  for (Index i = 0; i < images.size(); ++i) {
    images.data()[i] = static_cast<float>(2 * random.uniform(static_cast<std::uint64_t>(i)) - 1);
  }
  return images;
}

/// Weights to the file, images to another beside it: PATH.images.
inline void write_vision_inputs(const std::string& path, const model::Vision<float>& model,
                                const Tensor<float, 4>& images) {
  io::save_weights(path, model, {.metadata = model::to_metadata(model.config())});
  io::SafetensorsWriter writer;
  writer.add("images", images);
  writer.write(path + ".images");
}

}  // namespace lion::bench
