#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "examples/run_program.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "support/catch.hpp"

using lion::Index;
using lion::Tensor;
using lion::io::SafetensorsFile;
using lion::io::SafetensorsWriter;

namespace {

const std::string kProgram = LION_MLM_PROGRAM;
const std::string kScratch = "examples-mlm";
const std::string kOutput = "examples-mlm-output.safetensors";
const std::string kInput = "examples-mlm-input.safetensors";
const std::string kVocab = "examples-mlm-vocab.txt";
const std::string kGolden = std::string(LION_GOLDEN_DIR) + "/mlm-";

Ran run(const std::vector<std::string>& arguments) { return run_program(kProgram, arguments, kScratch); }

void require_done(const std::vector<std::string>& arguments) {
  const Ran ran = run(arguments);
  REQUIRE(ran.err == "");
  REQUIRE(ran.code == 0);
}

void require_refused(const std::vector<std::string>& arguments, const std::string& message) {
  std::filesystem::remove(kOutput);
  const Ran ran = run(arguments);
  REQUIRE(ran.err == "lion_mlm: " + message + "\n");
  REQUIRE(ran.code == 1);
  REQUIRE(ran.out == "");
  REQUIRE(!std::filesystem::exists(kOutput));
}

/// ‖a − b‖ / ‖b‖, or ‖a − b‖ where b is nothing but rounding (softmax does not notice the bias of its keys).
double error(const SafetensorsFile& got, const SafetensorsFile& golden, const std::string& name) {
  const std::vector<double> a = got.read_values<double>(name), b = golden.read_values<double>(name);
  REQUIRE(got.at(name).shape == golden.at(name).shape);
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    apart += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(size) > 1e-12 ? std::sqrt(apart / size) : std::sqrt(apart);
}

/// A vocabulary as small as the golden models', of which `tokens` are not special.
void write_vocab(int tokens) {
  std::ofstream file(kVocab);
  file << "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\n##s\n.\n";
  for (int i = 5; i < tokens; ++i) file << "word" << i << "\n";
}

}  // namespace

TEST_CASE("lion_mlm gives the logits, loss and gradients of every golden model") {
  for (const std::string mask : {"linear", "decay", "selective", "softmax"}) {
    const auto golden = SafetensorsFile::open(kGolden + mask + ".expected.safetensors");
    for (const std::string form : {"full", "rnn", "chunk"}) {
      INFO(mask << " " << form);
      std::vector<std::string> arguments{"--weights",    kGolden + mask + ".weights.safetensors",
                                         "--input",      kGolden + mask + ".expected.safetensors",
                                         "--output",     kOutput,
                                         "--form",       form,
                                         "--chunk-size", "7",
                                         "--threads",    "2"};
      require_done(arguments);
      REQUIRE(SafetensorsFile::open(kOutput).names() == std::vector<std::string>{"logits"});
      REQUIRE(error(SafetensorsFile::open(kOutput), golden, "logits") < 1e-5);

      arguments.push_back("--backward");
      require_done(arguments);
      const auto got = SafetensorsFile::open(kOutput);
      REQUIRE(error(got, golden, "logits") < 1e-5);
      REQUIRE(got.read_values<double>("loss")[0] == Approx(golden.read_values<double>("loss")[0]).epsilon(1e-6));
      std::size_t gradients = 0;
      for (const auto& tensor : golden.tensors()) {
        if (!tensor.name.starts_with("grad.")) continue;
        INFO(tensor.name);
        ++gradients;
        REQUIRE(error(got, golden, tensor.name) < 1e-4);
      }
      REQUIRE(got.tensors().size() == gradients + 2);
    }
  }
}

TEST_CASE("lion_mlm takes sequences packed in one row, and sizes from the tensors") {
  const auto golden = SafetensorsFile::open(kGolden + "decay.expected.safetensors");
  const auto ids = golden.read_values<Index>("input_ids");
  const auto seen = golden.read_values<Index>("attention_mask");
  std::vector<Index> packed, cuts{0};
  for (std::size_t t = 0; t < ids.size(); ++t) {
    if (seen[t] != 0) packed.push_back(ids[t]);
    if ((t + 1) % 17 == 0) cuts.push_back(static_cast<Index>(packed.size()));
  }
  SafetensorsWriter input;
  input.add("input_ids", lion::io::Dtype::kI64, {1, static_cast<Index>(packed.size())},
            std::as_bytes(std::span(packed)));
  input.add("cu_seqlens", lion::io::Dtype::kI64, {static_cast<Index>(cuts.size())}, std::as_bytes(std::span(cuts)));
  input.write(kInput);

  const std::string bare = "examples-mlm-bare.safetensors";
  const auto weights = SafetensorsFile::open(kGolden + "decay.weights.safetensors");
  SafetensorsWriter writer;  // without metadata
  for (const auto& tensor : weights.tensors()) writer.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
  writer.write(bare);
  require_done({"--weights", bare, "--input", kInput, "--output", kOutput});
  REQUIRE(error(SafetensorsFile::open(kOutput), golden, "logits") < 1e-5);
}

TEST_CASE("lion_mlm prints the likeliest tokens for each [MASK], with probabilities that are a softmax") {
  write_vocab(38);
  const std::string weights = kGolden + "selective.weights.safetensors";
  const Ran ran = run({"--weights", weights, "--vocab", kVocab, "--text", "The [MASK] sat. [MASK] cats", "--top", "3",
                       "--output", kOutput});
  REQUIRE(ran.err == "");
  REQUIRE(ran.code == 0);
  const auto output = SafetensorsFile::open(kOutput);
  REQUIRE(output.read_values<Index>("input_ids") == std::vector<Index>{2, 5, 4, 7, 9, 4, 6, 8, 3});
  const auto logits = output.read_tensor<double, 2>("logits", {2, 47});
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < ran.out.size(); at = ran.out.find('\n', at) + 1) {
    lines.push_back(ran.out.substr(at, ran.out.find('\n', at) - at));
  }
  REQUIRE(lines.size() == 8);  // header, rule, three tokens for each mask
  std::vector<std::string> names;
  std::ifstream file(kVocab);
  for (std::string line; std::getline(file, line);) names.push_back(line);
  for (Index m = 0; m < 2; ++m) {
    const double* row = logits.view().at(m);
    const auto best = static_cast<std::size_t>(std::max_element(row, row + 47) - row);
    double sum = 0;
    for (std::size_t i = 0; i < 47; ++i) sum += std::exp(row[i] - row[best]);
    char probability[32];
    std::snprintf(probability, sizeof probability, "%.2f %%", 100 / sum);
    const std::string& line = lines[static_cast<std::size_t>(2 + 3 * m)];
    REQUIRE(line.starts_with(std::to_string(m + 1)));
    REQUIRE(line.find(best < names.size() ? names[best] : "#" + std::to_string(best)) != std::string::npos);
    REQUIRE(line.ends_with(probability));
  }

  // The same tokens from a file.
  SafetensorsWriter writer;
  const std::vector<Index> ids = output.read_values<Index>("input_ids");
  const std::vector<Index> all_seen(9, 1);
  writer.add("input_ids", lion::io::Dtype::kI64, {1, 9}, std::as_bytes(std::span(ids)));
  writer.add("attention_mask", lion::io::Dtype::kI64, {1, 9}, std::as_bytes(std::span(all_seen)));
  writer.write(kInput);
  require_done({"--weights", weights, "--input", kInput, "--output", kOutput});
  const auto all = SafetensorsFile::open(kOutput).read_tensor<double, 2>("logits", {9, 47});
  for (Index i = 0; i < 47; ++i) {
    REQUIRE(all(2, i) == Approx(logits(0, i)).margin(1e-5));
    REQUIRE(all(5, i) == Approx(logits(1, i)).margin(1e-5));
  }
}

TEST_CASE("lion_mlm says what is wrong and writes nothing") {
  write_vocab(38);
  const std::string weights = kGolden + "decay.weights.safetensors", input = kGolden + "decay.expected.safetensors";
  require_refused({}, "--weights is required");
  require_refused({"--weights", weights}, "expected one of --text and --input");
  require_refused({"--weights", weights, "--text", "a", "--input", input}, "expected one of --text and --input");
  require_refused({"--weights", weights, "--text", "[MASK]"}, "--text needs --vocab");
  require_refused({"--weights", weights, "--input", input}, "--input needs --output");
  require_refused({"--weights", weights, "--vocab", kVocab, "--text", "[MASK]", "--backward"},
                  "--backward needs --input");
  require_refused({"--weights", weights, "--vocab", kVocab, "--text", "the cat", "--output", kOutput},
                  "--text has no [MASK], expected at least one");
  require_refused({"--weights", weights, "--vocab", kVocab, "--text", "[MASK]", "--top", "0"},
                  "--top is 0, expected at least 1");
  require_refused({"--weights", "no-such-file", "--input", input, "--output", kOutput},
                  "open: no-such-file: No such file or directory");
  require_refused({"--weights", weights, "--input", input, "--output", kOutput, "--form", "fast"},
                  "masked_language: form is 'fast', expected one of full, rnn, chunk, auto");
  require_refused({"--weights", weights, "--input", input, "--output", kOutput, "--num-hidden-layers", "1",
                   "--intermediate-size", "65"},
                  "load_bert: " + weights +
                      ": unexpected tensors: 'bert.encoder.layer.1.attention.output.LayerNorm.bias', "
                      "'bert.encoder.layer.1.attention.output.LayerNorm.weight', "
                      "'bert.encoder.layer.1.attention.output.dense.bias', "
                      "'bert.encoder.layer.1.attention.output.dense.weight', "
                      "'bert.encoder.layer.1.attention.self.ai', 'bert.encoder.layer.1.attention.self.key.bias', "
                      "'bert.encoder.layer.1.attention.self.key.weight', "
                      "'bert.encoder.layer.1.attention.self.query.bias', "
                      "'bert.encoder.layer.1.attention.self.query.weight', "
                      "'bert.encoder.layer.1.attention.self.value.bias', "
                      "'bert.encoder.layer.1.attention.self.value.weight', "
                      "'bert.encoder.layer.1.intermediate.dense.bias', "
                      "'bert.encoder.layer.1.intermediate.dense.weight', "
                      "'bert.encoder.layer.1.output.LayerNorm.bias', 'bert.encoder.layer.1.output.LayerNorm.weight', "
                      "'bert.encoder.layer.1.output.dense.bias', 'bert.encoder.layer.1.output.dense.weight'; "
                      "misshapen tensors: 'bert.encoder.layer.0.intermediate.dense.bias' has shape [64], expected "
                      "[65], 'bert.encoder.layer.0.intermediate.dense.weight' has shape [64,32], expected [65,32], "
                      "'bert.encoder.layer.0.output.dense.weight' has shape [32,64], expected [32,65]");
  require_refused({"--weights", weights, "--input", weights, "--output", kOutput},
                  "safetensors: " + weights + ": has no tensor 'input_ids'");
  write_vocab(60);
  require_refused({"--weights", weights, "--vocab", kVocab, "--text", "[MASK]"},
                  "--vocab " + kVocab + " has 65 tokens, expected at most vocab_size 47");
  const Ran help = run({"--help"});
  REQUIRE(help.code == 0);
  REQUIRE(help.out.find("--backward") != std::string::npos);
}
