#pragma once
/// Whom a student learns from: a model that looks at the same images, or logits that were written down.

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "lion/core/executor.hpp"
#include "lion/nn/scratch.hpp"

namespace lion::train {

/// Writes logits [B,K] of B samples, given their images [B,I,height,width] and their rows [B] in the data set. A model
/// looks at the images alone, a table at the rows alone (so it knows nothing of how images were augmented).
template <Real S>
using Teacher = std::function<void(const View<const S, 4>& images, std::span<const Index> rows,
                                   const View<S, 2>& logits, Executor executor)>;

/// A model's `forward`: (images, logits, scratch, executor) as model::Vision's, or (images, logits). It must outlive
/// the teacher, and takes the images as the student sees them. Copies of the teacher share scratch: one thread at a
/// time asks them.
template <Real S, class Model>
Teacher<S> model_teacher(Model& model) {
  return [&model, scratch = std::make_shared<nn::Scratch>()](const View<const S, 4>& images, std::span<const Index>,
                                                             const View<S, 2>& logits, Executor executor) {
    if constexpr (requires { model.forward(images, logits, *scratch, executor); }) {
      model.forward(images, logits, *scratch, executor);
    } else {
      model.forward(images, logits);
    }
  };
}

/// A table [N,K] of the logits of every row of the data set (io::read_logits), in memory that must outlive the teacher.
template <Real S>
Teacher<S> table_teacher(View<const S, 2> table) {
  return [table](const View<const S, 4>&, std::span<const Index> rows, const View<S, 2>& logits, Executor) {
    require_shape<2>("table_teacher", "logits", logits.shape(), {static_cast<Index>(rows.size()), table.extent(1)});
    for (std::size_t b = 0; b < rows.size(); ++b) {
      if (rows[b] >= 0 && rows[b] < table.extent(0)) continue;
      throw ArgumentError("table_teacher: rows[" + std::to_string(b) + "] is " + std::to_string(rows[b]) +
                          ", expected a value in [0, " + std::to_string(table.extent(0)) + ")");
    }
    for (std::size_t b = 0; b < rows.size(); ++b) {
      for (Index k = 0; k < table.extent(1); ++k) logits(static_cast<Index>(b), k) = table(rows[b], k);
    }
  };
}

}  // namespace lion::train
