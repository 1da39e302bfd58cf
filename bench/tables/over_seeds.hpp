#pragma once
/// What a section says of a figure that each seed gives one of.

#include <vector>

#include "common/statistics.hpp"
#include "tables/sections.hpp"

namespace lion::bench {

inline Json over_seeds(const std::vector<double>& values) {
  return {{"mean", examples::mean(values)}, {"deviation", examples::deviation(values)}, {"values", values}};
}

}  // namespace lion::bench
