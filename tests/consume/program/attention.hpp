#pragma once
/// What every consumer here does: two tokens under one decay, checked against the sum written out (math.md §1).

#include <cmath>
#include <lion/lion.hpp>

inline bool attention_runs() {
  const float lambda = 0.5f;
  lion::Tensor<float, 4> q({1, 1, 2, 1}), k({1, 1, 2, 1}), v({1, 1, 2, 1}), y({1, 1, 2, 1});  // [B,H,L,D]
  lion::Tensor<float, 1> log_lambda({1});                                                     // [H]
  q.fill(1);
  k.fill(1);
  v(0, 0, 0, 0) = 3;
  v(0, 0, 1, 0) = 6;
  log_lambda(0) = std::log(lambda);

  lion::Attention<lion::mask::Decay, lion::form::Chunk> attention;
  lion::Workspace workspace;
  attention.forward(lion::AttentionInputs<float>{q, k, v}, {log_lambda}, {y}, workspace);
  const float sum = 1 + lambda;
  return std::abs(y(0, 0, 0, 0) - (3 + lambda * 6) / sum) < 1e-4f &&
         std::abs(y(0, 0, 1, 0) - (lambda * 3 + 6) / sum) < 1e-4f;
}
