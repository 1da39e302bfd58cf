#pragma once
/// The operator on tensors of a file, for one mask and one type; each is compiled in a file of its own.

#include <optional>
#include <string>
#include <vector>

#include "lion/core/executor.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "lion_attention/settings.hpp"

namespace lion::examples {

struct AttentionRun {
  const io::SafetensorsFile* input = nullptr;
  AttentionSettings settings;
  std::string form = "auto";
  Index chunk_size = 64;
  bool backward = false;
  bool cuda = false;  ///< on a GPU, in float
  Executor executor;
  std::string output;
};

/// Reads q, k, v and what else the settings ask for, and writes y and, with `backward`, dq, dk, dv and the decays'
/// gradients, all of type T (float or double).
template <class Mask, class T>
void run_attention(const AttentionRun& run);

}  // namespace lion::examples
