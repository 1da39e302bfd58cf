#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "examples/run_program.hpp"
#include "support/catch.hpp"

namespace {

using Json = nlohmann::json;

const std::string kProgram = TABLES_PROGRAM;
const std::string kScratch = "bench-tables";

Ran run_tables(const std::vector<std::string>& arguments) { return run_program(kProgram, arguments, kScratch); }

/// The sections of a report that the program has written.
Json sections(const std::string& path) {
  const Json report = Json::parse(read_text(path));
  REQUIRE(report.at("format") == "lion tables 1");
  for (const auto& [name, section] : report.at("sections").items()) {
    INFO(name);
    for (const char* key : {"version", "processor", "compiler"}) REQUIRE(section.at(key).is_string());
  }
  return report.at("sections");
}

void require_positive(const Json& value) {
  REQUIRE(value.is_number());
  REQUIRE(value.get<double>() > 0);
}

void require_spread(const Json& spread) {
  require_positive(spread.at("min"));
  REQUIRE(spread.at("min").get<double>() <= spread.at("median").get<double>());
  REQUIRE(spread.at("median").get<double>() <= spread.at("max").get<double>());
}

/// A section's rows have these names and what a table of times needs.
void require_times(const Json& section, const std::vector<std::string>& names) {
  for (const char* key : {"batch", "length", "width", "depth", "threads", "rounds"}) require_positive(section.at(key));
  const Json& models = section.at("models");
  REQUIRE(models.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Json& m = models[i];
    REQUIRE(m.at("name") == names[i]);
    require_positive(m.at("parameters"));
    require_positive(m.at("paper_ratio"));
    // A step leaves weights, gradients and two moments behind it, in float32. Tiny models are lost in what a process
    // holds anyway: the test of memory alone has larger steps.
    REQUIRE(m.at("peak_memory_bytes").get<double>() > 16 * m.at("parameters").get<double>());
    require_spread(m.at("seconds"));
    require_spread(m.at("ratio"));
    require_spread(m.at("cpu_ratio"));
  }
  REQUIRE(models[0].at("ratio").at("median") == 1.0);
}

/// A value per seed, with their mean and deviation, all in (low, high).
void require_over_seeds(const Json& figure, std::size_t seeds, double low, double high) {
  const auto values = figure.at("values").get<std::vector<double>>();
  REQUIRE(values.size() == seeds);
  double sum = 0, squares = 0;
  for (const double value : values) {
    REQUIRE(value > low);
    REQUIRE(value < high);
    sum += value;
  }
  const double mean = sum / static_cast<double>(seeds);
  for (const double value : values) squares += (value - mean) * (value - mean);
  REQUIRE(figure.at("mean").get<double>() == Approx(mean));
  REQUIRE(figure.at("deviation").get<double>() ==
          Approx(seeds > 1 ? std::sqrt(squares / static_cast<double>(seeds - 1)) : 0));
}

/// A section's rows have these names and accuracies, and the section says `keys` of what they are of.
void require_accuracies(const Json& section, const std::vector<std::string>& names,
                        const std::vector<std::string>& keys, double least) {
  for (const std::string& key : keys) {
    INFO(key);
    require_positive(section.at(key));
  }
  require_positive(section.at("threads"));
  const Json& models = section.at("models");
  REQUIRE(models.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Json& m = models[i];
    REQUIRE(m.at("name") == names[i]);
    require_positive(m.at("parameters"));
    REQUIRE(m.at("paper_accuracy").get<double>() > 0.6);
    require_over_seeds(m.at("accuracy"), section.at("seeds").get<std::size_t>(), least, 1);
  }
}

const std::vector<std::string> kTextModels{"BERT", "Hydra", "LION-LIT", "LION-D", "LION-S"};
const std::vector<std::string> kImageModels{"ViT",    "DeiT",    "Hydra",  "Vim",    "LION-LIT",
                                            "LION-D", "LION-D♮", "LION-S", "LION-S♮"};

}  // namespace

TEST_CASE("tables measures its sections one by one and merges them") {
  const std::string times = "bench-tables-times.json", all = "bench-tables-all.json", tables = "bench-tables.md";
  for (const std::string& file : {times, all, tables}) std::filesystem::remove(file);

  const Ran first = run_tables(
      {"--size", "quick", "--rounds", "1", "--threads", "1", "--only", "images-time", "text-time", "--json", times});
  INFO(first.err);
  REQUIRE(first.code == 0);
  REQUIRE(sections(times).size() == 2);
  require_times(sections(times).at("images-time"), kImageModels);
  require_times(sections(times).at("text-time"), kTextModels);

  const Ran second = run_tables({"--size", "quick", "--threads", "2", "--only", "images-accuracy", "--merge", times,
                                 "--json", all, "--markdown", tables});
  INFO(second.err);
  REQUIRE(second.code == 0);
  for (const char* kept : {"images-time", "text-time"}) REQUIRE(sections(all).at(kept) == sections(times).at(kept));
  require_accuracies(sections(all).at("images-accuracy"), kImageModels, {"seeds", "epochs"}, 0);
  REQUIRE(sections(all).at("images-accuracy").at("teacher of DeiT") == "LION-D♮ under the same recipe");
  REQUIRE(read_text(tables) == second.out);
  for (const std::string& name : kImageModels) {
    const std::size_t row = second.out.find("\n| " + name + " |");
    REQUIRE(row != std::string::npos);                                             // of times
    REQUIRE(second.out.find("\n| " + name + " |", row + 1) != std::string::npos);  // of accuracies
  }

  const Ran merged = run_tables({"--merge", all});  // measures nothing
  REQUIRE(merged.code == 0);
  REQUIRE(merged.out == second.out);
}

TEST_CASE("tables trains the text models on a novel, the same models for any number of threads") {
  const std::string one = "bench-tables-text-1.json", two = "bench-tables-text-2.json";
  for (const std::string& file : {one, two}) std::filesystem::remove(file);
  const auto measure = [](const std::string& threads, const std::string& file) {
    Ran ran = run_tables(
        {"--size", "quick", "--seeds", "2", "--threads", threads, "--only", "text-accuracy", "--json", file});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    return ran;
  };
  const Ran ran = measure("1", one);
  const Json section = sections(one).at("text-accuracy");
  require_accuracies(section, kTextModels,
                     {"steps", "batch", "length", "vocabulary", "seeds", "training tokens", "held-out tokens",
                      "of them asked for", "width", "depth"},
                     -1e-9);  // so few steps may get nothing right
  REQUIRE(section.at("data").get<std::string>().find("Pride and Prejudice") == 0);
  REQUIRE(section.at("seeds") == 2);
  REQUIRE(section.at("of them asked for") < section.at("held-out tokens"));
  // One who gives all tokens the same chance loses log(vocabulary); every model has learnt something, and each seed
  // trains another.
  const double chance = std::log(section.at("vocabulary").get<double>());
  for (const Json& m : section.at("models")) {
    INFO(m.at("name"));
    require_over_seeds(m.at("loss"), 2, 1, chance);
    REQUIRE(m.at("loss").at("deviation") > 0);
    const std::size_t row = ran.out.find("\n| " + m.at("name").get<std::string>() + " | ");
    REQUIRE(row != std::string::npos);
    const std::string cells = ran.out.substr(row + 1, ran.out.find('\n', row + 1) - row - 1);
    char loss[64];
    std::snprintf(loss, sizeof loss, " | %.2f ± %.2f | ", m.at("loss").at("mean").get<double>(),
                  m.at("loss").at("deviation").get<double>());
    REQUIRE(cells.find(loss) != std::string::npos);
  }
  REQUIRE(ran.out.find("| model | parameters | accuracy | loss | paper, on its data |") != std::string::npos);
  REQUIRE(ran.out.find("steps 12, batch 4, length 32") != std::string::npos);

  measure("2", two);
  REQUIRE(sections(two).at("text-accuracy").at("models") == section.at("models"));
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LION_TEST_SANITIZED
#endif
#endif

#if !defined(LION_TEST_SANITIZED) && !defined(__SANITIZE_ADDRESS__)  // which keeps freed memory, and takes its time

TEST_CASE("tables measures the memory of each model alone") {
  // What a process holds anyway hides tiny models; a large batch of images does not let itself be hidden.
  const auto memory = [](int batch) {
    const std::string json = "bench-tables-memory.json";
    std::filesystem::remove(json);
    const Ran ran = run_tables({"--size", "quick", "--rounds", "1", "--threads", "1", "--only", "images-time",
                                "--batch", std::to_string(batch), "--json", json});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    std::map<std::string, double> bytes;
    const Json section = sections(json).at("images-time");
    for (const Json& m : section.at("models")) bytes[m.at("name")] = m.at("peak_memory_bytes");
    REQUIRE(bytes.size() == kImageModels.size());
    return bytes;
  };
  const int batch = 256;
  const auto few = memory(2), many = memory(batch);
  const double images = (batch - 2) * 3.0 * 64 * 64 * sizeof(float);  // more of them; steps hold far more beside
  for (const auto& [name, bytes] : many) {
    INFO(name);
    REQUIRE(bytes - few.at(name) > images);
  }
  // Hydra's and Vim's mixers are wider than the model and keep half as much again; the rows after them keep less. The
  // greatest of this process or of all its children would never fall, and another row's would not be of that kind.
  for (const auto& [name, bytes] : many) {
    INFO(name);
    if (name == "Hydra" || name == "Vim") continue;
    for (const char* wide : {"Hydra", "Vim"}) REQUIRE(many.at(wide) > 1.25 * bytes);
  }
}

#endif

TEST_CASE("tables says what is wrong") {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const Ran ran = run_tables(arguments);
    REQUIRE(ran.err == "tables: " + message + "\n");
    REQUIRE(ran.code == 1);
  };
  refused({"--threads", "-2"}, "--threads is -2, expected at least 0");
  refused({"--rounds", "-1"}, "--rounds is -1, expected at least 0");
  refused({"--merge", "no-such-file"}, "no-such-file: cannot be opened");
  const std::string other = "bench-tables-other.json";
  std::ofstream(other) << "{\"sections\": {}}";
  refused({"--merge", other}, other + ": is no report of this program, expected JSON with format \"lion tables 1\"");
  refused({"--json", "no-such-folder/x", "--only", "images-time"},
          "write: no-such-folder/x: No such file or directory");
}
