#pragma once
/// Models from and to files.

#include <string>
#include <utility>
#include <vector>

#include "lion/io/parameters.hpp"
#include "lion/model/vision.hpp"

namespace lion::examples {

/// Fills a model's weights from a file under their timm/DeiT names.
template <class S>
void load_weights(const io::SafetensorsFile& file, model::Vision<S>& model) {
  std::vector<io::TensorSlot<S>> slots;
  for (nn::Parameter<S>* p : model.parameters()) slots.push_back({p->name, p->shape, p->value.data()});
  io::load_parameters(file, slots);
}

/// Writes a model's weights and, in the metadata, its configuration and what else is given.
template <class S>
void save_weights(const std::string& path, const model::Vision<S>& model, const model::Metadata& more) {
  std::vector<io::TensorSlot<const S>> slots;
  for (const nn::Parameter<S>* p : model.parameters()) slots.push_back({p->name, p->shape, p->value.data()});
  io::SaveOptions options{.metadata = model::to_metadata(model.config())};
  for (const auto& [key, value] : more) options.metadata[key] = value;
  io::save_parameters(path, slots, options);
}

}  // namespace lion::examples
