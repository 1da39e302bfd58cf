#pragma once
/// Memory that will be wanted soon, asked for while products run.

#include <algorithm>

#include "lion/core/scalar.hpp"

namespace lion::cpu {

/// Rows of the tiles that come next. Products ask for a line with each step of their depth: beyond the second cache a
/// tile's rows come in a burst that the processor's own prefetching meets too late, a fifth of the time at L = 6085.
class Ahead {
 public:
  /// Where a block of a product starts to ask: line p is at + p/4 rows of 4 lines, `jump` bytes from the last line of a
  /// row to the next row.
  struct Lines {
    const char* at;
    Index step, jump;
  };

  void forget() { count_ = current_ = 0; }

  /// `rows` rows of `row_bytes` bytes, `stride` bytes apart. What does not fit the scheme is left to the processor.
  void want(const void* first, Index rows, Index row_bytes, Index stride) {
    const bool packed = stride == row_bytes;
    if (!first || count_ == kMost || (!packed && row_bytes != 4 * kLine)) return;
    wanted_[count_++] = {static_cast<const char*>(first), packed ? kLine : stride - 3 * kLine,
                         (rows * row_bytes + kLine - 1) / kLine};
  }

  /// Lines for a block of this depth, or none.
  Lines take(Index depth) {
    if (current_ == count_) return {nullptr, 0, 0};
    Wanted& from = wanted_[current_];
    const Lines lines{from.at, kLine, from.jump};
    const Index rows = depth / 4;
    from.at += rows * (3 * kLine + from.jump);
    from.lines -= 4 * (std::max<Index>)(rows, 1);
    if (from.lines <= 0) ++current_;
    return lines;
  }

 private:
  static constexpr Index kLine = 64, kMost = 8;
  struct Wanted {
    const char* at;
    Index jump, lines;
  };
  Wanted wanted_[kMost];
  Index count_ = 0, current_ = 0;
};

}  // namespace lion::cpu
