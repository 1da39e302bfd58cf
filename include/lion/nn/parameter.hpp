#pragma once
/// A weight of a model and its gradient: what optimisers, files and tests see of it.

#include <string>
#include <utility>
#include <vector>

#include "lion/core/tensor.hpp"
#include "lion/cpu/packed_matrix.hpp"

namespace lion::nn {

/// A named weight of any rank, its elements dense and row-major in one run of memory.
template <Real S>
struct Parameter {
  Parameter() = default;
  /// Zero, with a zero gradient of the same size.
  Parameter(std::string name_, std::vector<Index> shape_, bool decay_)
      : Parameter(without_grad(std::move(name_), std::move(shape_), decay_)) {
    make_grad();
  }

  /// Zero, without memory for a gradient until `make_grad`: an engine that only infers holds half.
  static Parameter without_grad(std::string name, std::vector<Index> shape, bool decay) {
    Parameter p;
    p.name = std::move(name);
    p.shape = std::move(shape);
    p.value = Tensor<S, 1>({count_of(p.shape)});
    p.decay = decay;
    return p;
  }

  /// A zero gradient, if there is none yet. Throws ArgumentError if the weight is packed.
  void make_grad() {
    require_unpacked();
    if (grad.size() != value.size()) grad = Tensor<S, 1>(value.shape());
  }

  /// Throws ArgumentError if the weight is packed.
  void require_unpacked() const {
    if (!packed.empty()) {
      throw ArgumentError(name + " is packed, expected it not to be: packed weights are for inference");
    }
  }

  Index size() const { return value.size(); }

  /// Keeps the weight as `type`, in the order in which products read it, and `value` and `grad` no more: if it is the
  /// matrix of a linear layer with at least 64 inputs and outputs; others cost little. Throws ArgumentError if it is
  /// packed as another type.
  void pack(cpu::WeightType type)
    requires std::same_as<S, float>
  {
    if (!packed.empty() && packed.type() != type) require_unpacked();
    if (!matrix || !packed.empty()) return;
    const Index out = shape.front(), in = out > 0 ? size() / out : 0;
    if (out < 64 || in < 64) return;
    packed = cpu::PackedMatrix(value.data(), out, in, type);
    value = {};
    grad = {};
  }

  static Index count_of(const std::vector<Index>& shape) {
    Index n = 1;
    for (Index extent : shape) n *= extent;
    return n;
  }

  std::string name;          ///< as in the state dict: "blocks.0.attn.qkv.weight"
  std::vector<Index> shape;  ///< as in the state dict
  Tensor<S, 1> value;        ///< [product of shape], or empty (`pack`)
  Tensor<S, 1> grad;         ///< [product of shape], or empty (`make_grad`); backward adds to it
  bool decay = true;         ///< whether weight decay applies: not to biases, norms, tokens, positions
  bool matrix = false;       ///< whether `pack` may: a linear layer multiplies by it, and not to make decays
  cpu::PackedMatrix packed;  ///< after `pack`, in place of value and grad
};

}  // namespace lion::nn
