#pragma once
/// Whether rows of the attention matrix are divided by their sum.

#include <string_view>

namespace lion::normalise {

/// y_i = n_i / (d_i + ε); a row whose d_i + ε is 0 is 0 and passes no gradient (math.md §1).
struct RowSum {
  static constexpr std::string_view name = "row_sum";
  static constexpr bool divides = true;
  double epsilon = 1e-6;
};

/// y_i = n_i.
struct None {
  static constexpr std::string_view name = "none";
  static constexpr bool divides = false;
};

}  // namespace lion::normalise
