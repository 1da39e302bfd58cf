#pragma once
// What packed weights and the rows that they are multiplied by stand for.

#include <algorithm>
#include <cmath>

#include "lion/cpu/packed_matrix.hpp"

namespace lion::test {

/// x [n] as products see it: rounded to bfloat16, or to its largest entry over 127; `rows` are multiplied by the
/// inverse of that, as weights are divided by it.
inline void round(cpu::WeightType type, bool rows, float* x, Index n) {
  float largest = 0;
  for (Index i = 0; i < n; ++i) largest = (std::max)(largest, std::abs(x[i]));
  const float scale = largest / 127;
  for (Index i = 0; i < n; ++i) {
    if (type == cpu::WeightType::bfloat16) x[i] = static_cast<float>(static_cast<bfloat16>(x[i]));
    if (type == cpu::WeightType::int8) x[i] = std::rint(rows ? x[i] * (1 / scale) : x[i] / scale) * scale;
  }
}

}  // namespace lion::test
