#pragma once
/// The rows of the paper's table of masked language models.

#include <string>
#include <vector>

namespace lion::bench {

/// A model by its mask, and what the paper reports of it on C4 and its GPU.
struct TextModel {
  std::string name, mask_type;
  double paper_ratio, paper_accuracy;
};

/// BERT first: times are relative to its.
inline const std::vector<TextModel>& text_models() {
  static const std::vector<TextModel> all{{"BERT", "softmax", 1, 0.6988},
                                          {"Hydra", "hydra", 3.13, 0.7118},
                                          {"LION-LIT", "linear", 0.95, 0.6711},
                                          {"LION-D", "decay", 1.10, 0.6864},
                                          {"LION-S", "selective", 1.32, 0.6916}};
  return all;
}

}  // namespace lion::bench
