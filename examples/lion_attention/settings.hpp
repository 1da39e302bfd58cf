#pragma once
/// What an operator is to do: from the metadata of its file, or from flags, which win.

#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "lion/core/error.hpp"
#include "lion/io/safetensors.hpp"

namespace lion::examples {

/// The flags; empty where they were not given.
struct AttentionFlags {
  std::string mask, normalise, epsilon, scale, orders;
};

struct AttentionSettings {
  std::string mask;             ///< linear, decay, selective
  bool normalise = true;        ///< divide rows by their sum
  double epsilon = 1e-6;        ///< added to the sum
  std::optional<double> scale;  ///< D^-1/2 if absent
  int orders = 0;               ///< 0: tokens as they lie; 1: along `order`; 2: the mean of `order` and `order2`
};

namespace detail {
inline double finite_number(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) {
    throw ArgumentError(name + " is '" + text + "', expected a finite number");
  }
  return value;
}
}  // namespace detail

/// The settings of a file in the golden files' layout: a flag if given, else the file's metadata, else normalise True,
/// eps 1e-6, scale D^-1/2, and as many orders as there are in the file. A mask must be named.
inline AttentionSettings settings_of(const io::SafetensorsFile& file, const AttentionFlags& flags) {
  const auto text = [&](const char* name, const std::string& flag) {
    return flag.empty() ? file.metadata(name) : std::optional(flag);
  };
  AttentionSettings settings;
  const auto mask = text("mask", flags.mask);
  if (!mask) {
    throw ArgumentError(file.name() +
                        " does not name a mask in its metadata, expected --mask linear, decay or selective");
  }
  settings.mask = *mask;
  if (const auto normalise = text("normalise", flags.normalise)) {
    settings.normalise = *normalise == "True" || *normalise == "true";
    if (!settings.normalise && *normalise != "False" && *normalise != "false") {
      throw ArgumentError("normalise is '" + *normalise + "', expected True or False");
    }
  }
  if (const auto epsilon = text("eps", flags.epsilon)) settings.epsilon = detail::finite_number("eps", *epsilon);
  if (const auto scale = text("scale", flags.scale)) settings.scale = detail::finite_number("scale", *scale);
  if (const auto orders = text("orders", flags.orders)) {
    if (*orders != "0" && *orders != "1" && *orders != "2") {
      throw ArgumentError("orders is '" + *orders + "', expected 0, 1 or 2");
    }
    settings.orders = orders->front() - '0';
  } else if (file.contains("order")) {
    settings.orders = file.contains("order2") ? 2 : 1;
  }
  return settings;
}

}  // namespace lion::examples
