#pragma once
/// The loss of regression.

#include <string>

#include "lion/core/view.hpp"

namespace lion::train {

/// Mean over all entries of (x − target)². x, target [B,K], at least one entry; dx [B,K] is the gradient of the mean,
/// written if present; the mean is over rows·K entries where `rows` is not 0 (micro-batches of a step of so many rows
/// add up to it). Computed in double. Throws ArgumentError before anything is written.
template <Real S>
double mean_squared_error(View<const S, 2> x, View<const S, 2> target, View<S, 2> dx = {}, Index rows = 0) {
  if (x.size() < 1 && rows == 0) {
    throw ArgumentError("mean_squared_error: x has shape " + to_string(x.shape()) + ", expected at least one entry");
  }
  require_shape<2>("mean_squared_error", "target", target.shape(), x.shape(), " to match x");
  if (dx) require_shape<2>("mean_squared_error", "dx", dx.shape(), x.shape(), " to match x");
  if (rows != 0 && rows < x.extent(0)) {
    throw ArgumentError("mean_squared_error: rows is " + std::to_string(rows) + ", expected 0 or at least the " +
                        std::to_string(x.extent(0)) + " rows of x");
  }
  const auto entries = static_cast<double>((rows == 0 ? x.extent(0) : rows) * x.extent(1));
  double loss = 0;
  for (Index b = 0; b < x.extent(0); ++b) {
    for (Index k = 0; k < x.extent(1); ++k) {
      const double apart = static_cast<double>(x(b, k)) - static_cast<double>(target(b, k));
      loss += apart * apart;
      if (dx) dx(b, k) = static_cast<S>(2 * apart / entries);
    }
  }
  return loss / entries;
}

}  // namespace lion::train
