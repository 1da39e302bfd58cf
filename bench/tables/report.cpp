#include "tables/report.hpp"

#include <algorithm>
#include <fstream>
#include <span>

#include "common/table.hpp"
#include "lion/core/atomic_file.hpp"
#include "lion/core/error.hpp"
#include "lion/core/version.hpp"

namespace lion::bench {
namespace {

using examples::format;

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// "key value, key value": all a section says beside its models.
std::string about(const Json& section) {
  std::string line;
  for (const auto& [key, value] : section.items()) {
    if (key != "models") line += (line.empty() ? "" : ", ") + key + " " + text(value);
  }
  return line;
}

std::string times(const Json& models) {
  std::string lines =
      "| model | parameters | seconds per step | × | from | to | × of CPU time | peak memory | paper, on its GPU |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (const Json& m : models) {
    lines += "| " + m.at("name").get<std::string>() + format(" | %.1f M", 1e-6 * m.at("parameters").get<double>()) +
             format(" | %.3g", m.at("seconds").at("median").get<double>());
    for (const char* of : {"median", "min", "max"}) lines += format(" | %.3f", m.at("ratio").at(of).get<double>());
    lines += format(" | %.3f", m.at("cpu_ratio").at("median").get<double>()) + " | " +
             examples::format_bytes(m.at("peak_memory_bytes").get<std::size_t>()) +
             format(" | %.2f |\n", m.at("paper_ratio").get<double>());
  }
  return lines;
}

/// "mean unit ± deviation" with so many decimals, of `scale` times the values.
std::string over_seeds(const Json& figure, int decimals, double scale = 1, const char* unit = "") {
  std::string cell = format("%.*f", decimals, scale * figure.at("mean").get<double>()) + unit;
  if (figure.at("values").size() > 1) {
    cell += " ± " + format("%.*f", decimals, scale * figure.at("deviation").get<double>());
  }
  return cell;
}

/// Losses are said of those models that have one.
std::string accuracies(const Json& models) {
  const bool losses = std::any_of(models.begin(), models.end(), [](const Json& m) { return m.contains("loss"); });
  std::string lines = std::string("| model | parameters | accuracy |") + (losses ? " loss |" : "") +
                      " paper, on its data |\n|---|---|---|---|" + (losses ? "---|\n" : "\n");
  for (const Json& m : models) {
    lines += "| " + m.at("name").get<std::string>() + " | " + m.at("parameters").dump() + " | " +
             over_seeds(m.at("accuracy"), 1, 100, " %");
    if (losses) lines += " | " + (m.contains("loss") ? over_seeds(m.at("loss"), 2) : "-");
    lines += format(" | %.2f %% |\n", 100 * m.at("paper_accuracy").get<double>());
  }
  return lines;
}

}  // namespace

Json measured(const Section& section, const Settings& settings) {
  Json report = {{"version", std::to_string(LION_VERSION_MAJOR) + "." + std::to_string(LION_VERSION_MINOR) + "." +
                                 std::to_string(LION_VERSION_PATCH)},
                 {"processor", processor()},
                 {"compiler", __VERSION__}};
  const Json found = section.measure(settings);
  for (const auto& [key, value] : found.items()) report[key] = value;
  return report;
}

Json empty_report() { return {{"format", "lion tables 1"}, {"sections", Json::object()}}; }

void merge_report(Json& report, const std::string& path) {
  std::ifstream file(path);
  if (!file) throw FileError(path + ": cannot be opened");
  const Json other = Json::parse(file, nullptr, false);
  if (!other.is_object() || other.value("format", Json()) != report.at("format") || !other.contains("sections")) {
    throw FileError(path + ": is no report of this program, expected JSON with format " + report.at("format").dump());
  }
  // Each section says for itself where it was measured.
  for (const auto& [name, section] : other.at("sections").items()) report["sections"][name] = section;
}

std::string markdown(const Json& report) {
  std::string lines;
  for (const Section& section : sections()) {
    const std::string name(section.name);
    if (!report.at("sections").contains(name)) continue;
    const Json& found = report.at("sections").at(name);
    lines += (lines.empty() ? "## " : "\n## ") + name + "\n\n" + about(found) + "\n\n" +
             (name.ends_with("-time") ? times(found.at("models")) : accuracies(found.at("models")));
  }
  return lines;
}

void write_text(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace lion::bench
