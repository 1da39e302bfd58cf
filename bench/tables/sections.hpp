#pragma once
/// The halves of the paper's two tables, each measured alone.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lion/core/scalar.hpp"

namespace lion::bench {

using Json = nlohmann::ordered_json;

/// How large the models of a run are: the paper's, smaller ones for a look, or tiny ones to see that it runs.
enum class Size { base, small_, quick };

struct Settings {
  Size size = Size::base;
  Index threads = 1;
  Index rounds = 0;  ///< timed pairs of steps, an even number lets each model lead as often; 0: as the size has it
  Index batch = 0;   ///< samples in a timed step; 0: as the section has it
  Index seeds = 0;   ///< runs per model of the accuracies; 0: as the size has it

  /// `value`, unless it is 0.
  static Index either(Index value, Index otherwise) { return value > 0 ? value : otherwise; }
  Index timed_rounds() const { return either(rounds, size == Size::quick ? 2 : 6); }
  Index runs() const { return either(seeds, size == Size::base ? 3 : 1); }
};

/// A section of the report: what it says about itself, and `models`, one entry per row of its table.
struct Section {
  std::string_view name;
  Json (*measure)(const Settings&);
};

Json measure_images_time(const Settings& settings);
Json measure_images_accuracy(const Settings& settings);
Json measure_text_time(const Settings& settings);
Json measure_text_accuracy(const Settings& settings);

/// In the order in which they are reported.
inline const std::vector<Section>& sections() {
  static const std::vector<Section> all{{"images-time", measure_images_time},
                                        {"images-accuracy", measure_images_accuracy},
                                        {"text-time", measure_text_time},
                                        {"text-accuracy", measure_text_accuracy}};
  return all;
}

}  // namespace lion::bench
