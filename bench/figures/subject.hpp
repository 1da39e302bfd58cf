#pragma once
/// What bench/figures measures of the library: one thing per process, so that its peak memory is its own.

#include <memory>
#include <string>

#include "lion/core/executor.hpp"
#include "lion/cpu/packed_matrix.hpp"

namespace lion::bench {

class Subject {
 public:
  virtual ~Subject() = default;
  virtual void run(const Executor& executor) = 0;
  /// Inputs, and weights where there are any, for a peer to compute the same from.
  virtual void write_inputs(const std::string& path) const = 0;
  /// What the last run computed, under the name y.
  virtual void write_output(const std::string& path) const = 0;
  /// Floating-point operations of a run, where they are counted; else 0.
  virtual double operations() const { return 0; }
  /// Bytes of scratch of the operator, where a subject has it alone; else 0.
  virtual std::size_t scratch(const Executor&) const { return 0; }
};

struct SubjectOptions {
  std::string mask = "decay", form = "auto", kind = "vision", size = "base", weights = "plain";
  Index chunk_size = 64, batch = 1, heads = 12, length = 197, width = 64, image_size = 224, in = 768, out = 3072;
};

/// Packs the weights of a model or a layer as the options say: float32, bfloat16 or int8; plain leaves them.
template <class T>
void pack(T& model, const SubjectOptions& options) {
  if (options.weights != "plain") model.pack(cpu::parse_weight_type(options.weights));
}

/// The operator on q, k in [0,1) and v in [-1,1) [batch,heads,length,width], with row sums, float32.
std::unique_ptr<Subject> operator_subject(const SubjectOptions& options);
/// Inference of an image model with initial weights: images [batch,3,image_size,image_size] to logits.
std::unique_ptr<Subject> vision_subject(const SubjectOptions& options);
/// A training step of an image model on so many images: gradients of all weights, AdamW.
std::unique_ptr<Subject> training_subject(const SubjectOptions& options);
/// Inference of a masked language model with initial weights: texts [batch,length] to logits of each text's first
/// token.
std::unique_ptr<Subject> text_subject(const SubjectOptions& options);
/// A linear layer on `length` tokens, in → out.
std::unique_ptr<Subject> linear_subject(const SubjectOptions& options);

}  // namespace lion::bench
