/// The library's side of bench/figures/run: makes one subject, then answers each line of standard input by one of JSON.
///   run N        seconds of a pass, the mean of N
///   inputs FILE  writes what the subject computes from
///   output FILE  writes what it has computed
///   check FILE   relative error of what it has computed, against such a file of another subject
///   about        peak resident bytes of this process, and of before there was a subject; operations, scratch

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/program.hpp"
#include "figures/subject.hpp"
#include "lion/io/safetensors.hpp"
#include "peak.hpp"

namespace lion::bench {
namespace {

using Json = nlohmann::ordered_json;

/// A line of /proc/self/status in bytes: VmHWM, VmRSS.
std::int64_t status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

/// The machine's multiply-adds, as a subject: what others are held against.
class Peak final : public Subject {
 public:
  void run(const Executor&) override { operations_ = multiply_add_chains(200'000); }
  void write_inputs(const std::string&) const override {}
  void write_output(const std::string&) const override {}
  double operations() const override { return operations_; }

 private:
  double operations_ = 0;
};

std::unique_ptr<Subject> make(const std::string& name, const SubjectOptions& options) {
  if (name == "operator") return operator_subject(options);
  if (name == "vision") return vision_subject(options);
  if (name == "training") return training_subject(options);
  if (name == "text") return text_subject(options);
  if (name == "linear") return linear_subject(options);
  return std::make_unique<Peak>();
}

double seconds_of(Subject& subject, int passes, const Executor& executor) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < passes; ++i) subject.run(executor);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / passes;
}

/// ‖y - expected‖ / ‖expected‖ of two files of outputs.
double relative_error(const std::string& path, const std::string& expected_path) {
  const auto file = io::SafetensorsFile::open(path), expected_file = io::SafetensorsFile::open(expected_path);
  const auto y = file.read_tensor<float, 2>("y", {-1, -1});
  const auto expected = expected_file.read_tensor<float, 2>("y", y.shape());
  double error = 0, size = 0;
  for (Index i = 0; i < y.size(); ++i) {
    const double right = expected.data()[i], by = y.data()[i] - right;
    error += by * by;
    size += right * right;
  }
  return std::sqrt(error / size);
}

void answer(const std::string& name, const SubjectOptions& options, Index threads) {
  examples::check_threads(threads);
  const std::int64_t before = status("VmRSS");
  ThreadPool pool(threads);
  const std::unique_ptr<Subject> subject = make(name, options);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, path;
    words >> command;
    Json reply = Json::object();
    if (command == "run") {
      int passes = 1;
      if (!(words >> passes) || passes < 1) throw ArgumentError("run: expected a number of passes of at least 1");
      reply["seconds"] = seconds_of(*subject, passes, pool);
    } else if (command == "inputs" && words >> path) {
      subject->write_inputs(path);
    } else if (command == "output" && words >> path) {
      subject->write_output(path);
    } else if (command == "check" && words >> path) {
      const std::string own = path + ".checked";
      subject->write_output(own);
      reply["error"] = relative_error(own, path);
      std::remove(own.c_str());
    } else if (command == "about") {
      reply = {{"peak_bytes", status("VmHWM")},
               {"before_bytes", before},
               {"operations", subject->operations()},
               {"scratch_bytes", subject->scratch(pool)}};
    } else {
      throw ArgumentError("'" + line + "' is no command: run N, inputs FILE, output FILE, check FILE, about");
    }
    std::cout << reply << std::endl;
  }
}

}  // namespace
}  // namespace lion::bench

int main(int argc, char** argv) {
  using namespace lion::bench;
  CLI::App app(
      "Measures one thing for bench/figures/run, which tells it by standard input what to do, one line each: run N, "
      "inputs FILE, output FILE, check FILE, about. Subjects: operator, vision, training (a step of an image model), "
      "text, "
      "linear (a layer), peak (multiply-adds alone).",
      "figures_subject");
  std::string name;
  SubjectOptions o;
  lion::Index threads = 1;
  app.add_option("subject", name)
      ->required()
      ->check(CLI::IsMember({"operator", "vision", "training", "text", "linear", "peak"}));
  app.add_option("--mask", o.mask, "linear, decay, selective or softmax; of text hydra too")->capture_default_str();
  app.add_option("--form", o.form, "full, rnn, chunk or auto")->capture_default_str();
  app.add_option("--chunk-size", o.chunk_size)->capture_default_str();
  app.add_option("--kind", o.kind, "of vision: vision, hydra or vim")->capture_default_str();
  app.add_option("--size", o.size, "of models: base (text: large), or tiny to see that it runs")
      ->check(CLI::IsMember({"base", "tiny"}))
      ->capture_default_str();
  app.add_option("--weights", o.weights, "of models and linear: plain, or packed as float32, bfloat16 or int8")
      ->check(CLI::IsMember({"plain", "float32", "bfloat16", "int8"}))
      ->capture_default_str();
  app.add_option("--batch", o.batch)->capture_default_str();
  app.add_option("--heads", o.heads)->capture_default_str();
  app.add_option("--length", o.length, "tokens of operator, text and linear")->capture_default_str();
  app.add_option("--width", o.width, "of a head of operator")->capture_default_str();
  app.add_option("--image-size", o.image_size)->capture_default_str();
  app.add_option("--in", o.in, "of linear")->capture_default_str();
  app.add_option("--out", o.out, "of linear")->capture_default_str();
  lion::examples::add_threads(app, threads);
  return lion::examples::run(app, argc, argv, [&] { answer(name, o, threads); });
}
