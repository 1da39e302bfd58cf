#pragma once
/// The weights of a whole model from and to a file. A model is anything whose `parameters()` are pointers to things
/// with a name, a shape and a value, as those of lion/model are.

#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "lion/io/parameters.hpp"

namespace lion::io {

namespace detail {
template <class T, class Parameters>
std::vector<TensorSlot<T>> slots_of(const Parameters& parameters) {
  std::vector<TensorSlot<T>> slots;
  for (auto* p : parameters) {
    if (p->value.size() != count_of(p->shape)) {
      throw ArgumentError(p->name + " has " + std::to_string(p->value.size()) + " values, expected " +
                          std::to_string(count_of(p->shape)) + ": a packed model is neither loaded nor saved");
    }
    slots.push_back({p->name, p->shape, p->value.data()});
  }
  return slots;
}
}  // namespace detail

/// Fills a model's weights from a file, under their names; errors as `load_parameters`', and ArgumentError for a model
/// whose weights are packed.
template <class Model>
void load_weights(const SafetensorsFile& file, Model& model, const LoadOptions& options = {}) {
  const auto parameters = model.parameters();
  using T = std::remove_pointer_t<decltype(parameters.front()->value.data())>;
  load_parameters(file, detail::slots_of<T>(parameters), options);
}

/// Writes a model's weights, whole or not at all; errors as `load_weights`' and `save_parameters`'. options.metadata
/// should hold the model's configuration (model::to_metadata), so that it can be built again.
template <class Model>
void save_weights(const std::filesystem::path& path, const Model& model, const SaveOptions& options = {}) {
  const auto parameters = model.parameters();
  using T = std::remove_pointer_t<decltype(parameters.front()->value.data())>;
  save_parameters(path, detail::slots_of<T>(parameters), options);
}

}  // namespace lion::io
