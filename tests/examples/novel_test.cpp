#include <filesystem>
#include <string>
#include <vector>

#include "examples/run_program.hpp"
#include "lion/io/safetensors.hpp"
#include "support/catch.hpp"

namespace {

const std::string kProgram = NOVEL_PROGRAM;
const std::string kScratch = "examples-novel";
const std::string kFolder = "examples-novel-run";
const std::string kText = "it is a truth [MASK] acknowledged, that a single [MASK]";
const std::vector<std::string> kFiles{"lion-s.safetensors", "lion-d.safetensors", "lion-lit.safetensors",
                                      "bert.safetensors"};

/// The row of a table that begins with this name.
std::string row(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  INFO(text);
  REQUIRE(at != std::string::npos);
  return text.substr(at + 1, text.find('\n', at + 1) - at - 1);
}

/// Of quick runs: so many that one is killed long before its end; sanitizers make each step long.
#ifdef LION_TEST_SANITIZED
constexpr int kSteps = 60;
#else
constexpr int kSteps = 240;
#endif

std::vector<std::string> quick(std::vector<std::string> more) {
  more.insert(more.begin(), {"--quick", "--steps", std::to_string(kSteps)});
  return more;
}

Ran run_quick(const std::vector<std::string>& arguments) { return run_program(kProgram, quick(arguments), kScratch); }

/// The steps that a checkpoint has behind it.
int steps_of(const std::string& path) {
  return std::stoi(lion::io::SafetensorsFile::open(path).metadata("optimiser.steps").value());
}

}  // namespace

TEST_CASE("novel trains four models, keeps them, fills in words, and goes on where a killed run stopped") {
  const std::string straight = kFolder + "-straight", killed = kFolder + "-killed";
  for (const std::string& folder : {straight, killed}) std::filesystem::remove_all(folder);
  const Ran ran = run_quick({"--save", straight, "--fill", kText});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  std::vector<std::string> names{"LION-S", "LION-D", "LION-LIT", "BERT"};
  for (const std::string& name : names) REQUIRE(row(ran.out, name).find(" %") != std::string::npos);
  REQUIRE(row(ran.out, "BERT").ends_with("×1.00"));
  REQUIRE(row(ran.out, "most frequent token").find(" %") != std::string::npos);
  REQUIRE(ran.err.find("training 100%") != std::string::npos);

  // The model that was best gives the same candidates when it is read from its file.
  const std::size_t of_best = ran.out.find(" on \"" + kText + "\":\n\n");
  REQUIRE(of_best != std::string::npos);
  const std::size_t line = ran.out.rfind('\n', of_best) + 1;
  const std::string best = ran.out.substr(line, of_best - line);
  std::size_t file = 0;
  while (file < names.size() && names[file] != best) ++file;
  REQUIRE(file < names.size());
  const Ran filled =
      run_program(kProgram, {"--load", straight + "/" + kFiles[file], "--fill", kText, "--threads", "1"}, kScratch);
  REQUIRE(filled.err == "");
  REQUIRE(filled.code == 0);
  for (const std::string mask : {"1", "2"}) REQUIRE(row(filled.out, mask).find(" %") != std::string::npos);
  REQUIRE(ran.out.find(filled.out) != std::string::npos);

  // Killed once the last model has saved for the first time; what goes on from there ends in the same bytes.
  std::string program = shell_word(kProgram);
  for (const std::string& argument : quick({"--threads", "1", "--save", killed})) program += " " + shell_word(argument);
  REQUIRE(std::system((program + " >" + kScratch + ".killed 2>&1 & p=$!; while kill -0 $p 2>/dev/null && [ ! -e " +
                       killed + "/bert.safetensors ]; do sleep 0.02; done; kill -9 $p 2>/dev/null; wait $p; true")
                          .c_str()) == 0);
  for (const std::string& name : kFiles) {
    INFO(name);
    REQUIRE(steps_of(killed + "/" + name) > 0);
    REQUIRE(steps_of(killed + "/" + name) < kSteps);
    REQUIRE(steps_of(straight + "/" + name) == kSteps);
  }
  REQUIRE(run_quick({"--save", killed}).err ==
          "novel: --save is " + killed +
              ", which has lion-s.safetensors of another run: add --resume to go on with "
              "it\n");
  const Ran resumed = run_quick({"--save", killed, "--resume"});
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  for (const std::string& name : kFiles) {
    REQUIRE(read_text(straight + "/" + name).size() > 100000);
    REQUIRE(read_text(straight + "/" + name) == read_text(killed + "/" + name));
  }
  REQUIRE(read_text(straight + "/vocab.txt") == read_text(killed + "/vocab.txt"));
  const Ran other = run_quick({"--save", killed, "--resume", "--seed", "1"});
  REQUIRE(other.err == "novel: load_checkpoint: " + killed +
                           "/lion-s.safetensors is of another run: settings that differ: 'seed' is '0', expected '1', "
                           "'train_seed' is '0', expected '1'\n");
}

TEST_CASE("novel says what is wrong") {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const Ran ran = run_program(kProgram, arguments, kScratch);
    REQUIRE(ran.err == "novel: " + message + "\n");
    REQUIRE(ran.code == 1);
  };
  refused(
      {"--quick", "--pack"},
      "--pack is given with models of width 32, expected at least 64, so not --quick: narrower layers are not packed");
  refused({"--steps", "0"}, "--steps is 0, expected at least 1");
  refused({"--threads", "-2"}, "--threads is -2, expected at least 0");
  refused({"--data", "no-such-file"}, "cannot open no-such-file");
  refused({"--data", LION_TEST_DATA_DIR "/CMakeLists.txt"}, LION_TEST_DATA_DIR
          "/CMakeLists.txt has 0 chapters (lines 'Chapter 1', 'Chapter 2', …), expected at least 56");
  refused({"--resume"}, "--resume is given, expected --save DIR with it");
  refused({"--load", "x"}, "--load is given, expected --fill TEXT with it");
  refused({"--load", "no-such-file", "--fill", "[MASK]"}, "open: no-such-file: No such file or directory");
  refused({"--fill", "a single man"}, "--fill is \"a single man\", expected a text with [MASK] in it");
}
