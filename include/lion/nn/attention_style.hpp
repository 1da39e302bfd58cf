#pragma once
/// What kinds of models make of multi-head attention: how parameters are named, and what LION does around its sum.

#include "lion/nn/linear.hpp"
#include "lion/nn/lion_attention.hpp"
#include "lion/nn/query_key_value.hpp"

namespace lion::nn {

/// Vision models, under the names of a timm/DeiT state dict: one projection, a feature map, rows divided by their sum,
/// one or two orders (math.md §6).
struct VisionAttention {
  template <Real S>
  using Projection = Linear<S>;
  template <class M>
  using Feature = VisionFeature<M>;
  using Normaliser = normalise::RowSum;
  template <Real S, class M>
  using Lion = LionAttention<S, M, Feature<M>, Normaliser>;

  template <Real S>
  static Linear<S> projection(const std::string& name, Index width) {
    return Linear<S>(name + ".qkv", width, 3 * width);
  }
  /// Names of the linear layers that make q, k and v, in this order.
  static std::vector<std::string> projections(const std::string& name) { return {name + ".qkv"}; }
  static std::string output(const std::string& name) { return name + ".proj"; }
  static std::string norm(const std::string& name) { return name + ".norm"; }
  static DecayOptions decays(const std::string& name, mask::DecayKind, Index prefix, Index orders) {
    DecayOptions options{{name + ".a_i"}, prefix};
    if (orders > 1) options.names.push_back(name + ".a2_i");
    return options;
  }
};

/// Text models, under the names of a Hugging Face BERT state dict: three projections, neither a feature map nor a
/// division (math.md §7).
struct TextAttention {
  template <Real S>
  using Projection = QueryKeyValue<S>;
  template <class M>
  using Feature = feature::Identity;
  using Normaliser = normalise::None;
  template <Real S, class M>
  using Lion = LionAttention<S, M, Feature<M>, Normaliser>;

  template <Real S>
  static QueryKeyValue<S> projection(const std::string& name, Index width) {
    return QueryKeyValue<S>(name + ".self", width);
  }
  static std::vector<std::string> projections(const std::string& name) {
    return {name + ".self.query", name + ".self.key", name + ".self.value"};
  }
  static std::string output(const std::string& name) { return name + ".output.dense"; }
  static std::string norm(const std::string& name) { return name + ".self.layer_norm"; }
  static DecayOptions decays(const std::string& name, mask::DecayKind kind, Index prefix, Index) {
    const bool per_token = kind == mask::DecayKind::per_token;
    return {{name + (per_token ? ".self.Wa_i" : ".self.ai")}, prefix, 1e-7};
  }
};

}  // namespace lion::nn
