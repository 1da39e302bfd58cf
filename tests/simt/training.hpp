#pragma once
/// Values and gradients of whole models, of the CPU and of the device.

#include <filesystem>
#include <utility>

#include "lion/io/checkpoint.hpp"
#include "lion/nn/parameter.hpp"
#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"

namespace lion::test {

inline std::vector<double> values_of(const Tensor<float, 1>& x) { return {x.data(), x.data() + x.size()}; }

/// Of each parameter.
using Values = std::vector<std::vector<double>>;
template <class Model>
Values values_of(const Model& model, bool gradients) {
  Values all;
  for (const nn::Parameter<float>* p : model.parameters()) all.push_back(values_of(gradients ? p->grad : p->value));
  return all;
}

template <class Model>
void check_each(const Model& model, const Values& got, const Values& wanted, double limit) {
  double square = 0;
  for (const std::vector<double>& x : wanted) square += norm(x) * norm(x);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string& name = model.parameters()[i]->name;
    INFO(name);
    // Softmax does not notice the bias of its keys: its gradient is nothing but rounding.
    const bool rounding = name.ends_with("key.bias") && norm(wanted[i]) < 1e-6 * std::sqrt(square);
    CHECK(relative_error(got[i], wanted[i], rounding ? std::sqrt(square) : 0) <= limit);
  }
}

/// A model whose weights are not small, biases not 0 and norms not 1.
template <class Model, class Config>
Model disturbed(const Config& config, Random& random) {
  Model host(config);
  for (nn::Parameter<float>* p : host.parameters()) {
    for (Index i = 0; i < p->size(); ++i) p->value(i) += static_cast<float>(random.uniform(-0.1, 0.1));
  }
  return host;
}

/// resume(model, state): the model, which has the device's weights, and AdamW's state, as a checkpoint gives them back.
template <class Model, class F>
void by_checkpoint(const std::filesystem::path& path, Model& model, const train::AdamWOptions& options,
                   train::AdamWState<float> state, F&& resume) {
  const io::Metadata settings = model::to_metadata(model.config());
  train::AdamW<float> stopped(model.parameters(), options);
  stopped.restore(std::move(state));
  io::save_checkpoint(path, model, stopped, {settings, {}});
  Model loaded(model.config());
  train::AdamW<float> again(loaded.parameters(), options);
  io::load_checkpoint(path, loaded, again, settings);
  std::filesystem::remove(path);
  resume(loaded, again.state());
}

}  // namespace lion::test
