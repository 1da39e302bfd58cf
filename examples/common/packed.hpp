#pragma once
/// A model as it infers with packed weights.

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "lion/cpu/packed_matrix.hpp"
#include "lion/model/initial.hpp"

namespace lion::examples {

/// What weights are packed as to be measured beside plain ones.
inline constexpr std::array<std::pair<const char*, cpu::WeightType>, 2> kPackedTypes{
    {{"bfloat16", cpu::WeightType::bfloat16}, {"int8", cpu::WeightType::int8}}};

/// A model of the same weights, packed.
template <class Model>
std::unique_ptr<Model> packed_copy(const Model& model, cpu::WeightType type) {
  auto copy = std::make_unique<Model>(model.config(), model::Initial::zero);
  const auto from = model.parameters();
  const auto to = copy->parameters();
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::copy_n(from[i]->value.data(), from[i]->value.size(), to[i]->value.data());
  }
  copy->pack(type);
  return copy;
}

}  // namespace lion::examples
