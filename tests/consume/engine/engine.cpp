#include "engine.hpp"

void Engine::run(const lion::AttentionInputs<float>& inputs, lion::View<const float, 1> log_lambda,
                 lion::View<float, 4> output) {
  attention_.forward(inputs, {log_lambda}, {output}, workspace_);
}
