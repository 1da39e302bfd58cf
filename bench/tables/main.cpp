/// The paper's two tables, measured: time and memory of a training step of every model relative to softmax attention,
/// and the accuracy of each after training under one recipe.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/program.hpp"
#include "lion/core/atomic_file.hpp"
#include "lion/core/error.hpp"
#include "tables/report.hpp"

namespace lion::bench {
namespace {

const std::map<std::string, Size> kSizes{{"base", Size::base}, {"small", Size::small_}, {"quick", Size::quick}};

struct Options {
  Settings settings;
  std::vector<std::string> only, merge;
  std::string size = "base", json, markdown;
};

void run_program(Options& options) {
  options.settings.size = kSizes.at(options.size);
  examples::check_threads(options.settings.threads);
  for (const auto& [name, value] :
       {std::pair("--rounds", options.settings.rounds), std::pair("--batch", options.settings.batch),
        std::pair("--seeds", options.settings.seeds)}) {
    if (value < 0) throw ArgumentError(std::string(name) + " is " + std::to_string(value) + ", expected at least 0");
  }
  for (const std::string& path : {options.json, options.markdown}) {
    if (!path.empty()) AtomicFile{path};  // said now rather than after the measurement
  }
  Json report = empty_report();
  for (const std::string& path : options.merge) merge_report(report, path);
  const std::vector<std::string>& only = options.only;
  for (const Section& section : sections()) {
    const std::string name(section.name);
    const bool asked = std::find(only.begin(), only.end(), name) != only.end();
    if (!asked && !(only.empty() && options.merge.empty())) continue;
    report["sections"][name] = measured(section, options.settings);
    if (!options.json.empty()) write_text(options.json, report.dump(2) + "\n");  // a later section may be cut short
  }
  if (!options.json.empty()) write_text(options.json, report.dump(2) + "\n");
  const std::string tables = markdown(report);
  if (!options.markdown.empty()) write_text(options.markdown, tables);
  std::cout << tables;
}

}  // namespace
}  // namespace lion::bench

int main(int argc, char** argv) {
  using namespace lion::bench;
  CLI::App app(
      "The paper's two tables, measured. Sections:\n"
      "  images-time      image models of base size, 224 px\n"
      "  images-accuracy  the same models on handwritten digits; DeiT's teacher is a LION-D♮ of the same recipe\n"
      "  text-time        masked language models of large size, 128 tokens; takes 13 GB of memory\n"
      "  text-accuracy    the same models, small, on the held-out chapters of a novel\n"
      "Times are of one training step (forward, backward, AdamW) and relative to softmax attention, measured in turns\n"
      "with it; run them on a machine that does nothing else. A long measurement can be made in parts:\n"
      "  tables --only images-time --json a.json; tables --only text-time --merge a.json --json b.json",
      "tables");
  Options options;
  std::vector<std::string> names;
  for (const Section& section : sections()) names.emplace_back(section.name);
  app.add_option("--size", options.size, "base: as in the paper; small: smaller models, for a look; quick: seconds")
      ->check(CLI::IsMember({"base", "small", "quick"}))
      ->capture_default_str();
  app.add_option("--only", options.only, "sections to measure; all, unless --merge is given")
      ->check(CLI::IsMember(names));
  app.add_option("--merge", options.merge, "reports whose sections are taken where they are not measured now");
  app.add_option("--rounds", options.settings.rounds, "timed steps of each pair of models; 0: 6, or 2 if quick");
  app.add_option("--batch", options.settings.batch, "samples in a timed step; 0: 2 images, 1 text");
  app.add_option("--seeds", options.settings.seeds, "runs behind an accuracy; 0: 3, or 1 below size base");
  app.add_option("--json", options.json, "file for the report");
  app.add_option("--markdown", options.markdown, "file for its tables, which are also printed");
  lion::examples::add_threads(app, options.settings.threads);
  return lion::examples::run(app, argc, argv, [&] { run_program(options); });
}
