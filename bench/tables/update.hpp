#pragma once
/// What training steps of all models have in common: a model's weights under AdamW.

#include <memory>
#include <span>
#include <vector>

#include "lion/train/adamw.hpp"

namespace lion::bench {

template <class Model>
class Trained {
 public:
  template <class Config>
  explicit Trained(const Config& config)
      : model(std::make_unique<Model>(config)),
        parameters_(model->parameters()),
        optimiser_(std::span<nn::Parameter<float>* const>(parameters_)) {}

  void update(const Executor& executor) { optimiser_.step(1e-4, executor); }

  std::unique_ptr<Model> model;

 private:
  std::vector<nn::Parameter<float>*> parameters_;
  train::AdamW<float> optimiser_;
};

}  // namespace lion::bench
