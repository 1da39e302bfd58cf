#pragma once
/// One model in its three forms: the same predictions, other time and memory.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "common/table.hpp"
#include "digits/trial.hpp"

namespace lion::examples::digits {

/// Classifies the test set in each form, `repeats` times in turns, and prints what each takes. Throws Error if two
/// forms predict differently.
inline void compare_forms(model::Vision<float>& model, const Digits& digits, Index repeats, Executor executor,
                          std::ostream& out) {
  struct Entry {
    std::string name;
    form::Any form;
    nn::Scratch scratch{};
    double seconds = std::numeric_limits<double>::infinity();  ///< the fastest
    Tensor<float, 2> logits{};                                 // [N,classes]
  };
  std::vector<Entry> entries;
  entries.push_back({"full", form::Full{}});
  entries.push_back({"RNN", form::Rnn{}});
  entries.push_back({"chunk of 16", form::Chunk{16}});
  for (Index i = 0; i < repeats; ++i) {
    for (Entry& entry : entries) {
      model.set_form(entry.form);
      const auto start = std::chrono::steady_clock::now();
      entry.logits = classify(model, digits.test_images(), entry.scratch, executor);
      entry.seconds =
          (std::min)(entry.seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }

  Table table({"form", "accuracy", "predictions unlike full's", "largest logit difference", "time",
               "peak scratch of attention", "of the model"});
  const std::vector<Index> expected = train::predictions<float>(entries.front().logits.view());
  Index differing = 0;
  for (const Entry& entry : entries) {
    const std::vector<Index> predicted = train::predictions<float>(entry.logits.view());
    Index unlike = 0;
    double apart = 0;
    for (std::size_t i = 0; i < predicted.size(); ++i) unlike += predicted[i] != expected[i];
    for (Index i = 0; i < entry.logits.size(); ++i) {
      apart = (std::max)(apart, std::abs(static_cast<double>(entry.logits.data()[i]) -
                                         static_cast<double>(entries.front().logits.data()[i])));
    }
    const Index right = train::count_correct<float>(entry.logits.view(), digits.data.test.labels);
    table.add({entry.name, format("%.1f %%", 100 * static_cast<double>(right) / static_cast<double>(predicted.size())),
               std::to_string(unlike), format("%.1e", apart), format("%.1f ms", 1e3 * entry.seconds),
               format_bytes(entry.scratch.attention.size()), format_bytes(entry.scratch.size())});
    differing += unlike;
  }
  table.print(out);
  out << "predictions that differ between forms: " << differing << '\n';
  if (differing > 0) {
    throw Error("the forms differ in " + std::to_string(differing) + " predictions, expected the same from all");
  }
}

}  // namespace lion::examples::digits
