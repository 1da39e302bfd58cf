#pragma once
/// The sequences of a batch: what a convolution, a shift or a scan must not reach across.

#include <algorithm>

#include "lion/nn/lion_attention.hpp"

namespace lion::nn {

/// The sequences of a batch as stretches of the rows b·L + t of its token matrices.
class Sequences {
 public:
  explicit Sequences(const TokenBatch& batch) : batch_(batch) {}

  Index count() const { return batch_.samples * per_sample(); }

  Index longest() const {
    if (batch_.cu_seqlens.empty()) return batch_.length;
    Index longest = 0;
    for (Index i = 0; i < per_sample(); ++i) longest = (std::max)(longest, (*this)[i].size);
    return longest;
  }

  Stretch operator[](Index i) const {
    const Index sample = i / per_sample() * batch_.length;
    if (batch_.cu_seqlens.empty()) return {sample, batch_.length};
    const auto cut = batch_.cu_seqlens.begin() + i % per_sample();
    return {sample + cut[0], cut[1] - cut[0]};
  }

  /// f(sequence, row, n) for each run of rows of [first, first + n) that is of one sequence.
  template <class F>
  void for_each_run(Index first, Index n, F&& f) const {
    for (Index row = first; row < first + n;) {
      const Stretch sequence = containing(row);
      const Index run = (std::min)(sequence.end(), first + n) - row;
      f(sequence, row, run);
      row += run;
    }
  }

  bool is_padding(Index row) const {
    return batch_.key_mask && !batch_.key_mask(row / batch_.length, row % batch_.length);
  }

  /// Columns [col, col + width) of the padded rows of x become 0.
  template <class T>
  void clear_padding(const View<T, 2>& x, Index col, Index width, const Executor& executor) const {
    if (!batch_.key_mask) return;
    detail::for_each_block(x.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      for (Index row = first; row < first + n; ++row) {
        if (is_padding(row)) std::fill_n(x.at(row, col), width, T(0));
      }
    });
  }

 private:
  Index per_sample() const { return batch_.cu_seqlens.empty() ? 1 : static_cast<Index>(batch_.cu_seqlens.size()) - 1; }

  Stretch containing(Index row) const {
    const Index sample = row / batch_.length * batch_.length;
    if (batch_.cu_seqlens.empty()) return {sample, batch_.length};
    const auto cuts = batch_.cu_seqlens;
    const auto end = std::upper_bound(cuts.begin(), cuts.end(), row - sample);
    return {sample + end[-1], end[0] - end[-1]};
  }

  const TokenBatch& batch_;
};

}  // namespace lion::nn
