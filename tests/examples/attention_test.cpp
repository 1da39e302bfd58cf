#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
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

const std::string kProgram = LION_ATTENTION_PROGRAM;
const std::string kScratch = "examples-attention";
const std::string kOutput = "examples-attention-output.safetensors";

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return std::sqrt(sum);
}

/// Whether ‖a − b‖ ≤ tolerance · max(‖b‖, yardstick), and a is exactly 0 where that bound is 0.
void require_close(const SafetensorsFile& got, const SafetensorsFile& golden, const std::string& name,
                   double tolerance) {
  INFO(golden.name() << " " << name);
  REQUIRE(got.at(name).shape == golden.at(name).shape);
  std::vector<double> a = got.read_values<double>(name);
  const std::vector<double> b = golden.read_values<double>(name);
  double size = norm(b);
  if (const auto yardstick = golden.metadata("yardstick." + name)) size = std::max(size, std::stod(*yardstick));
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  const double error = norm(a);
  REQUIRE(error <= tolerance * size);
}

void check_goldens(const std::string& dtype, double output_tolerance, double gradient_tolerance) {
  const std::vector<std::vector<std::string>> forms{{"--form", "full"},
                                                    {"--form", "rnn"},
                                                    {"--form", "chunk"},
                                                    {"--form", "chunk", "--chunk-size", "7"},
                                                    {"--form", "auto"}};
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LION_GOLDEN_DIR)) {
    if (!entry.path().filename().string().starts_with("op-")) continue;
    ++files;
    const auto golden = SafetensorsFile::open(entry.path());
    for (const auto& form : forms) {
      std::vector<std::string> arguments{"--input", entry.path().string(), "--output", kOutput, "--backward", "--dtype",
                                         dtype};
      arguments.insert(arguments.end(), form.begin(), form.end());
      const Ran ran = run_program(kProgram, arguments, kScratch);
      INFO(entry.path().string() << " " << form[1]);
      REQUIRE(ran.err == "");
      REQUIRE(ran.code == 0);
      const auto got = SafetensorsFile::open(kOutput);
      REQUIRE(got.at("y").dtype == (dtype == "float64" ? lion::io::Dtype::kF64 : lion::io::Dtype::kF32));
      require_close(got, golden, "y", output_tolerance);
      std::size_t written = 1;
      for (const char* name : {"dq", "dk", "dv", "dlog_lambda", "dlog_lambda2"}) {
        if (!golden.contains(name)) continue;
        ++written;
        require_close(got, golden, name, gradient_tolerance);
      }
      REQUIRE(got.tensors().size() == written);
    }
  }
  REQUIRE(files > 0);
}

/// A small selective case that runs, to be spoiled.
struct Case {
  std::map<std::string, std::string> metadata{{"mask", "selective"}};
  std::map<std::string, std::pair<std::vector<Index>, std::vector<double>>> reals;
  std::map<std::string, std::vector<Index>> integers;

  Case() {
    for (const char* name : {"q", "k", "v", "dy"}) set(name, {1, 2, 3, 4}, 0.5);
    set("log_lambda", {1, 2, 3}, -0.25);
  }
  void set(const std::string& name, std::vector<Index> shape, double value) {
    Index n = 1;
    for (Index extent : shape) n *= extent;
    reals[name] = {std::move(shape), std::vector<double>(static_cast<std::size_t>(n), value)};
  }
  void two_orders() {
    integers["order"] = {0, 1, 2};
    integers["order2"] = {2, 0, 1};
    set("log_lambda2", {1, 2, 3}, -0.5);
  }
  void write(const std::string& path) const {
    SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
    for (const auto& [name, tensor] : reals) {
      writer.add(name, lion::io::Dtype::kF64, tensor.first, std::as_bytes(std::span(tensor.second)));
    }
    for (const auto& [name, values] : integers) {
      writer.add(name, lion::io::Dtype::kI64, {static_cast<Index>(values.size())}, std::as_bytes(std::span(values)));
    }
    writer.write(path);
  }
};

const std::string kInput = "examples-attention-input.safetensors";

Ran run_case(const Case& c, std::vector<std::string> flags = {}) {
  c.write(kInput);
  std::vector<std::string> arguments{"--input", kInput, "--output", kOutput};
  if (std::find(flags.begin(), flags.end(), "--dtype") == flags.end())
    flags.insert(flags.end(), {"--dtype", "float64"});
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return run_program(kProgram, arguments, kScratch);
}

/// The program must refuse with this sentence, and leave neither output nor anything like it.
void require_refused(const Case& c, std::vector<std::string> flags, const std::string& message) {
  std::filesystem::remove(kOutput);
  const Ran ran = run_case(c, std::move(flags));
  REQUIRE(ran.err == "lion_attention: " + message + "\n");
  REQUIRE(ran.code == 1);
  REQUIRE(ran.out == "");
  for (const auto& entry : std::filesystem::directory_iterator(".")) {
    REQUIRE(!entry.path().filename().string().starts_with(kOutput));
  }
}

std::vector<double> result(const Case& c, std::vector<std::string> flags, const std::string& name = "y") {
  const Ran ran = run_case(c, std::move(flags));
  REQUIRE(ran.err == "");
  REQUIRE(ran.code == 0);
  return SafetensorsFile::open(kOutput).read_values<double>(name);
}

Case varied() {
  Case c;
  for (auto& [name, tensor] : c.reals) {
    for (std::size_t i = 0; i < tensor.second.size(); ++i) {
      tensor.second[i] *= 1 + 0.3 * std::sin(static_cast<double>(7 * i + name.size()));
    }
  }
  return c;
}

}  // namespace

TEST_CASE("lion_attention agrees with every golden file in every form, float64") {
  check_goldens("float64", 1e-10, 1e-9);
}

TEST_CASE("lion_attention agrees with every golden file in every form, float32") {
  check_goldens("float32", 1e-5, 1e-4);
}

TEST_CASE("lion_attention: flags win over the metadata, and what neither says is as documented") {
  Case c = varied();
  c.two_orders();
  const std::vector<double> both = result(c, {});  // two orders are in the file
  REQUIRE(result(c, {"--orders", "2", "--scale", "0.5", "--eps", "1e-6", "--normalise", "True"}) == both);
  REQUIRE(result(c, {"--orders", "0"}) != both);
  REQUIRE(result(c, {"--scale", "0.25"}) != both);
  REQUIRE(result(c, {"--eps", "0.1"}) != both);
  REQUIRE(result(c, {"--normalise", "False"}) != both);
  REQUIRE(result(c, {"--mask", "linear", "--orders", "0"}) != both);
  const std::vector<double> plain = result(c, {"--orders", "0"});
  REQUIRE(result(c, {"--orders", "1"}) == plain);  // `order` is the identity

  c.metadata = {{"mask", "linear"}, {"orders", "0"}, {"eps", "0.1"}, {"scale", "0.25"}, {"normalise", "False"}};
  REQUIRE(result(c, {"--mask", "selective", "--orders", "2", "--scale", "0.5", "--eps", "1e-6", "--normalise",
                     "True"}) == both);
  REQUIRE(result(c, {"--threads", "1"}) == result(c, {"--threads", "3"}));
}

TEST_CASE("lion_attention takes sequences without tokens and grouped heads") {
  Case empty;
  for (const char* name : {"q", "k", "v", "dy"}) empty.set(name, {1, 2, 0, 4}, 0);
  empty.set("log_lambda", {1, 2, 0}, 0);
  for (const char* form : {"full", "rnn", "chunk", "auto"}) {
    REQUIRE(result(empty, {"--form", form, "--backward"}, "dlog_lambda").empty());
    REQUIRE(SafetensorsFile::open(kOutput).at("y").shape == std::vector<Index>{1, 2, 0, 4});
  }

  Case grouped = varied(), repeated = varied();
  for (const char* name : {"q", "k"}) {
    auto& [shape, values] = grouped.reals[name];
    shape = {1, 1, 3, 4};
    values.resize(12);
    auto& copies = repeated.reals[name].second;
    std::copy_n(copies.begin(), 12, copies.begin() + 12);
  }
  REQUIRE(result(grouped, {}) == result(repeated, {}));
}

TEST_CASE("lion_attention refuses decays above 0, NaN and orders that are none") {
  for (const char* name : {"log_lambda", "log_lambda2"}) {
    for (const auto& [value, text] : {std::pair(0.5, "0.500000"), std::pair(std::nan(""), "nan")}) {
      Case c;
      c.two_orders();
      c.reals[name].second[4] = value;
      require_refused(c, {},
                      std::string(name) + " has the value " + text + " at position 4, expected values in [-inf, 0]");
    }
  }
  Case cut;
  cut.reals["log_lambda"].second[4] = -std::numeric_limits<double>::infinity();
  REQUIRE(run_case(cut).code == 0);

  Case twice;
  twice.two_orders();
  twice.integers["order2"] = {0, 1, 1};
  require_refused(twice, {}, "order2 is no permutation of 0 … 2");
  twice.integers["order"] = {0, 1, 3};
  require_refused(twice, {}, "order is no permutation of 0 … 2");
  REQUIRE(run_case(twice, {"--orders", "0"}).code == 0);
}

TEST_CASE("lion_attention refuses numbers that are not finite and names it does not know") {
  for (const char* name : {"eps", "scale"}) {
    for (const char* text : {"nan", "inf", "1e999", "x", "0.5x"}) {
      const std::string message = std::string(name) + " is '" + text + "', expected a finite number";
      Case c;
      require_refused(c, {std::string("--") + name + "=" + text}, message);
      c.metadata[name] = text;
      require_refused(c, {}, message);
    }
  }
  require_refused({}, {"--mask", "softmax"}, "visit: mask is 'softmax', expected one of linear, decay, selective");
  require_refused({}, {"--form", "fast"}, "visit: form is 'fast', expected one of full, rnn, chunk, auto");
  require_refused({}, {"--chunk-size", "0"}, "visit: chunk_size is 0, expected at least 1");
  require_refused({}, {"--dtype", "bfloat16"}, "--dtype is 'bfloat16', expected float32 or float64");
  require_refused({}, {"--normalise", "maybe"}, "normalise is 'maybe', expected True or False");
  require_refused({}, {"--orders", "3"}, "orders is '3', expected 0, 1 or 2");
  require_refused({}, {"--threads", "-1"}, "--threads is -1, expected at least 0");
  Case nameless;
  nameless.metadata.clear();
  require_refused(nameless, {},
                  kInput + " does not name a mask in its metadata, expected --mask linear, decay or selective");
}

TEST_CASE("lion_attention refuses missing and misshapen tensors") {
  const std::string file = "safetensors: " + kInput + ": ";
  for (const char* name : {"q", "k", "v", "log_lambda"}) {
    Case c;
    c.reals.erase(name);
    require_refused(c, {}, file + "has no tensor '" + name + "'");
  }
  Case c;
  c.reals.erase("dy");
  REQUIRE(run_case(c).code == 0);
  require_refused(c, {"--backward"}, file + "has no tensor 'dy'");
  require_refused(c, {"--orders", "1"}, file + "has no tensor 'order'");

  c = {};
  c.set("q", {2, 3, 4}, 1);
  require_refused(c, {}, file + "tensor 'q' has shape [2,3,4], expected [*,*,*,*]");
  c = {};
  c.set("k", {1, 2, 3, 5}, 1);
  require_refused(c, {}, "attention: k has shape [1,2,3,5], expected [1,2,3,4] to match q");
  c = {};
  c.set("v", {1, 2, 4, 4}, 1);
  c.set("log_lambda", {1, 2, 4}, -1);
  require_refused(c, {}, "attention: v has shape [1,2,4,4], expected [1,*,3,*] to match k");
  c = {};
  c.set("dy", {1, 2, 3, 5}, 1);
  require_refused(c, {"--backward"}, file + "tensor 'dy' has shape [1,2,3,5], expected [1,2,3,4]");
  require_refused({}, {"--mask", "decay"}, file + "tensor 'log_lambda' has shape [1,2,3], expected [2]");
  c = {};
  c.two_orders();
  c.set("log_lambda2", {2}, -1);
  require_refused(c, {}, file + "tensor 'log_lambda2' has shape [2], expected [1,2,3]");
  c.integers["order"] = {0, 1};
  require_refused(c, {}, file + "tensor 'order' has shape [2], expected [3]");
  c = {};
  c.integers["cu_seqlens"] = {0, 2};
  require_refused(c, {}, "attention: cu_seqlens[1] is 2, expected the length 3");
  c.integers["cu_seqlens"] = {};
  require_refused(c, {}, "cu_seqlens is empty, expected at least [0]");
}

TEST_CASE("lion_attention refuses command lines and files that it cannot read or write") {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const Ran ran = run_program(kProgram, arguments, kScratch);
    REQUIRE(ran.err == "lion_attention: " + message + "\n");
    REQUIRE(ran.code == 1);
  };
  refused({}, "--input is required");
  refused({"--input", "no-such-file", "--output", kOutput}, "open: no-such-file: No such file or directory");
  Case().write(kInput);
  refused({"--input", kInput, "--output", "no-such-folder/y"}, "write: no-such-folder/y: No such file or directory");
  std::filesystem::resize_file(kInput, 100);
  REQUIRE(run_program(kProgram, {"--input", kInput, "--output", kOutput}, kScratch).code == 1);
  const Ran help = run_program(kProgram, {"--help"}, kScratch);
  REQUIRE(help.code == 0);
  REQUIRE(help.out.find("--chunk-size") != std::string::npos);
}
