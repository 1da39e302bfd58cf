#pragma once

#include <lion/lion.hpp>

/// y = LION(q, k, v) of a bidirectional layer, in memory that the engine keeps.
class Engine {
 public:
  void run(const lion::AttentionInputs<float>& inputs, lion::View<const float, 1> log_lambda,
           lion::View<float, 4> output);

 private:
  lion::Attention<lion::mask::Decay, lion::form::Rnn> attention_;
  lion::Workspace workspace_;
};
