#pragma once
/// The rows of the paper's ImageNet table.

#include <string>
#include <vector>

#include "lion/model/vision_config.hpp"

namespace lion::bench {

/// What sets a model apart from the others, and what the paper reports of it on ImageNet and its GPU.
struct ImageModel {
  std::string name;
  void (*configure)(model::VisionConfig&);
  double paper_ratio, paper_accuracy;
};

/// The softmax ViT first: times are relative to its.
inline const std::vector<ImageModel>& image_models() {
  using Config = model::VisionConfig;
  static const std::vector<ImageModel> all{
      {"ViT", [](Config& c) { c.mask_type = "softmax"; }, 1, 0.779},
      {"DeiT", [](Config& c) { c.mask_type = "softmax", c.distilled = true; }, 1, 0.818},
      {"Hydra", [](Config& c) { c.kind = "hydra", c.pos_emb = c.cls_tok = false; }, 2.51, 0.810},
      // Mixers without MLPs: twice as many of them.
      {"Vim", [](Config& c) { c.kind = "vim", c.pos_emb = c.cls_tok = true, c.depth *= 2, c.d_state = 16; }, 10.86,
       0.819},
      {"LION-LIT", [](Config& c) { c.mask_type = "linear"; }, 0.73, 0.747},
      {"LION-D", [](Config& c) { c.mask_type = "decay"; }, 1.39, 0.778},
      {"LION-D♮", [](Config& c) { c.mask_type = "decay", c.order = "s_curve"; }, 1.48, 0.802},
      {"LION-S", [](Config& c) { c.mask_type = "selective"; }, 1.46, 0.763},
      {"LION-S♮", [](Config& c) { c.mask_type = "selective", c.order = "s_curve"; }, 1.68, 0.799}};
  return all;
}

}  // namespace lion::bench
