#pragma once
/// The blocks of a vision model: from its configuration's names to a mixer, once.

#include <string>

#include "lion/model/vision_config.hpp"
#include "lion/nn/block.hpp"

namespace lion::model {

/// Block i: `blocks.i` of a transformer with attention or Hydra's mixer, or `layers.i` of Vim.
template <Real S>
nn::Block<S> vision_block(const VisionConfig& config, Index i) {
  const Index width = config.embed_dim;
  if (config.kind == "vim") {
    const std::string name = "layers." + std::to_string(i);
    return {nn::RmsNorm<S>(name + ".norm", width), nn::VimMixer<S>(name + ".mixer", width, config.d_state)};
  }
  const std::string name = "blocks." + std::to_string(i);
  const auto around = [&](nn::Mixer<S> mixer) {
    return nn::Block<S>::transformer(name, width, config.hidden(), std::move(mixer));
  };
  if (config.kind == "hydra") {
    return around(nn::HydraMixer<S>(name + ".mixer", width, config.d_state, config.head_dim));
  }
  return around(nn::AttentionMixer<S>(name + ".attn", width, config.num_heads, config.mask_type, config.prefix(),
                                      config.orders()));
}

}  // namespace lion::model
