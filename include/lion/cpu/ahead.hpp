#pragma once
/// Memory that will be wanted soon, asked for while products run.

#include <algorithm>

#include "lion/core/config.hpp"
#include "lion/core/scalar.hpp"

namespace lion::cpu {

inline constexpr Index kLine = 64;  ///< bytes that come from memory at once

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
  LION_ALWAYS_INLINE Lines take(Index depth) {
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
  static constexpr Index kMost = 8;
  struct Wanted {
    const char* at;
    Index jump, lines;
  };
  Wanted wanted_[kMost];
  Index count_ = 0, current_ = 0;
};

/// Rows of weights that a large product will want next. Asked for a few at a time all along: from the third cache or
/// from memory, in a burst when they are wanted, they would take as long as several blocks of rows. Other than Ahead it
/// takes rows of any length, and gives up its lines at the pace that it is asked.
class LinesAhead {
 public:
  LinesAhead() = default;
  /// `rows` rows of `row_bytes` bytes, `stride` bytes apart.
  LinesAhead(const void* first, Index rows, Index row_bytes, Index stride)
      : at_(static_cast<const char*>(first)), lines_((row_bytes + kLine - 1) / kLine), left_(lines_), rows_(rows) {
    jump_ = stride - lines_ * kLine;
  }

  Index lines() const { return rows_ * lines_; }

  void ask(Index count) {
    for (; count > 0 && rows_ > 0; --count) {
      __builtin_prefetch(at_, 0, 2);
      at_ += kLine;
      if (--left_ > 0) continue;
      if (--rows_ == 0) return;
      at_ += jump_;
      left_ = lines_;
    }
  }

 private:
  const char* at_ = nullptr;
  Index lines_ = 0, left_ = 0, rows_ = 0, jump_ = 0;
};

}  // namespace lion::cpu
