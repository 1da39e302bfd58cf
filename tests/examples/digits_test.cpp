#include <algorithm>
#include <filesystem>
#include <string>

#include "examples/run_program.hpp"
#include "lion/io/safetensors.hpp"
#include "support/catch.hpp"

namespace {

const std::string kProgram = DIGITS_PROGRAM;
const std::string kScratch = "examples-digits";
const std::string kSaved = "examples-digits-best.safetensors";

/// The row of a table that begins with this name.
std::string row(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  REQUIRE(at != std::string::npos);
  return text.substr(at + 1, text.find('\n', at + 1) - at - 1);
}

}  // namespace

TEST_CASE("digits trains six models, compares the forms and saves the best") {
  std::filesystem::remove(kSaved);
  const Ran ran = run_program(kProgram, {"--quick", "--save", kSaved}, kScratch);
  REQUIRE(ran.code == 0);
  for (const char* name : {"LION-LIT", "LION-D", "LION-D♮", "LION-S", "LION-S♮", "softmax ViT"}) {
    REQUIRE(row(ran.out, name).find(" %") != std::string::npos);
  }
  REQUIRE(row(ran.out, "softmax ViT").ends_with("×1.00"));
  for (const char* name : {"full", "RNN", "chunk of 16"}) {
    REQUIRE(row(ran.out, name).find(" KiB") != std::string::npos);
    REQUIRE(row(ran.out, name).find("   0  ") != std::string::npos);  // predictions unlike full's
  }
  REQUIRE(ran.err.find("training 100%") != std::string::npos);
  const auto saved = lion::io::SafetensorsFile::open(kSaved);
  REQUIRE(saved.metadata("patch_size") == "1");
  REQUIRE(saved.metadata("num_classes") == "10");
  REQUIRE(saved.contains("blocks.0.attn.qkv.weight"));
  REQUIRE(saved.contains("head.bias"));

  // An image of the size it was trained on, grey: lion_vision reads the model and classifies it.
  const std::string picture = "examples-digits-picture.pgm";
  std::ofstream(picture, std::ios::binary) << "P5\n8 8\n255\n" << std::string(64, '\x40');
  const Ran seen = run_program(LION_VISION_PROGRAM, {"--weights", kSaved, "--image", picture}, kScratch);
  REQUIRE(seen.err == "");
  REQUIRE(seen.code == 0);
}

#ifndef LION_TEST_SANITIZED  // a quick run more takes minutes there
TEST_CASE("digits tests packed weights, too") {
  const Ran ran = run_program(kProgram, {"--quick", "--width", "64", "--pack"}, kScratch);
  REQUIRE(ran.code == 0);
  const std::string last = row(ran.out, "softmax ViT");
  REQUIRE(std::count(last.begin(), last.end(), '%') == 3);
}
#endif

TEST_CASE("digits says what is wrong") {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const Ran ran = run_program(kProgram, arguments, kScratch);
    REQUIRE(ran.err == "digits: " + message + "\n");
    REQUIRE(ran.code == 1);
  };
  refused({"--epochs", "0"}, "--epochs is 0, expected at least 1");
  refused({"--width", "33"}, "--width is 33, expected a positive multiple of the 2 heads");
  refused({"--pack"}, "--pack is given with --width 32, expected at least 64: narrower layers are not packed");
  refused({"--seeds", "0"}, "--seeds is 0, expected at least 1");
  refused({"--threads", "-2"}, "--threads is -2, expected at least 0");
  refused({"--data", "no-such-file"}, "load_digits: cannot open no-such-file");
  refused({"--save", "no-such-folder/best"}, "write: no-such-folder/best: No such file or directory");
}
