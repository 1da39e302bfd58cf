#pragma once
/// Bicubic resampling of grids with antialiasing, as torch.nn.functional.interpolate(mode='bicubic', antialias=True,
/// align_corners=False): kernel a = -0.5, widened by the scale where the grid shrinks (math.md §6).

#include <algorithm>
#include <cmath>

#include "lion/core/executor.hpp"
#include "lion/core/view.hpp"
#include "lion/core/workspace.hpp"

namespace lion::nn {

/// Keys' cubic kernel with a = -0.5.
inline double cubic_kernel(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Along one axis, from `from` to `to` points: out_i = Σ_j weight(i, j) in_{first(i)+j}.
template <Real S>
class AxisResampling {
 public:
  /// Weights live in the arena (`nullptr` while it only counts: then nothing is computed).
  AxisResampling(Index from, Index to, Arena& arena) : from_(from), to_(to) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double wide = (std::max)(scale, 1.0), support = 2 * wide;
    taps_ = 2 * static_cast<Index>(std::ceil(support)) + 1;
    first_ = arena.take<Index>(to);
    count_ = arena.take<Index>(to);
    weight_ = arena.take<S>(to * taps_);
    if (!first_ || !count_ || !weight_) return;
    for (Index i = 0; i < to; ++i) {
      const double centre = scale * (static_cast<double>(i) + 0.5);
      first_[i] = (std::max)(static_cast<Index>(centre - support + 0.5), Index(0));
      count_[i] = (std::min)(static_cast<Index>(centre + support + 0.5), from) - first_[i];
      const auto kernel = [&](Index j) {
        return cubic_kernel((static_cast<double>(j + first_[i]) - centre + 0.5) / wide);
      };
      double total = 0;
      for (Index j = 0; j < count_[i]; ++j) total += kernel(j);
      for (Index j = 0; j < count_[i]; ++j) weight_[i * taps_ + j] = static_cast<S>(kernel(j) / total);
    }
  }

  Index from() const { return from_; }
  Index to() const { return to_; }
  Index first(Index i) const { return first_[i]; }
  Index count(Index i) const { return count_[i]; }
  S weight(Index i, Index j) const { return weight_[i * taps_ + j]; }

 private:
  Index from_, to_, taps_ = 0;
  Index* first_ = nullptr;
  Index* count_ = nullptr;
  S* weight_ = nullptr;
};

/// Both axes of a grid whose points are rows of `width` entries: columns first, then rows.
template <Real S>
class GridResampling {
 public:
  GridResampling(Index from_rows, Index from_cols, Index to_rows, Index to_cols, Index width, Arena& arena)
      : rows_(from_rows, to_rows, arena),
        cols_(from_cols, to_cols, arena),
        width_(width),
        between_(arena.take<S>(from_rows * to_cols * width)) {}

  /// out [to_rows·to_cols, width] from in [from_rows·from_cols, width].
  void forward(const S* in, S* out) const {
    using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;
    using ConstRow = Eigen::Map<const Eigen::Array<S, -1, 1>>;
    for (Index y = 0; y < rows_.from(); ++y) {
      for (Index x = 0; x < cols_.to(); ++x) {
        Row to(between_ + (y * cols_.to() + x) * width_, width_);
        to.setZero();
        for (Index j = 0; j < cols_.count(x); ++j) {
          to += cols_.weight(x, j) * ConstRow(in + (y * cols_.from() + cols_.first(x) + j) * width_, width_);
        }
      }
    }
    const Index line = cols_.to() * width_;
    for (Index y = 0; y < rows_.to(); ++y) {
      Row to(out + y * line, line);
      to.setZero();
      for (Index j = 0; j < rows_.count(y); ++j) {
        to += rows_.weight(y, j) * ConstRow(between_ + (rows_.first(y) + j) * line, line);
      }
    }
  }

  /// din += the transpose of forward applied to dout.
  void backward(const S* dout, S* din) const {
    using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;
    using ConstRow = Eigen::Map<const Eigen::Array<S, -1, 1>>;
    const Index line = cols_.to() * width_;
    Row(between_, rows_.from() * line).setZero();
    for (Index y = 0; y < rows_.to(); ++y) {
      for (Index j = 0; j < rows_.count(y); ++j) {
        Row(between_ + (rows_.first(y) + j) * line, line) += rows_.weight(y, j) * ConstRow(dout + y * line, line);
      }
    }
    for (Index y = 0; y < rows_.from(); ++y) {
      for (Index x = 0; x < cols_.to(); ++x) {
        const ConstRow from(between_ + (y * cols_.to() + x) * width_, width_);
        for (Index j = 0; j < cols_.count(x); ++j) {
          Row(din + (y * cols_.from() + cols_.first(x) + j) * width_, width_) += cols_.weight(x, j) * from;
        }
      }
    }
  }

 private:
  AxisResampling<S> rows_, cols_;
  Index width_;
  S* between_;  // [from_rows, to_cols, width]
};

}  // namespace lion::nn
