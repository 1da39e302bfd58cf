/// Runs the operator on tensors from a file.

#include <CLI/CLI.hpp>
#include <string>

#include "common/device.hpp"
#include "common/program.hpp"
#include "lion/core/executor.hpp"
#include "lion/visit.hpp"
#include "lion_attention/operator.hpp"
#include "lion_attention/settings.hpp"

namespace lion::examples {
namespace {

void run_program(const std::string& path, const AttentionFlags& flags, const std::string& dtype, const Device& device,
                 Index threads, AttentionRun& run) {
  check_threads(threads);
  if (dtype != "float32" && dtype != "float64") {
    throw ArgumentError("--dtype is '" + dtype + "', expected float32 or float64");
  }
  check_device(device, dtype == "float64" ? "--dtype float64" : "");
  run.cuda = device.cuda();
  parse_form(run.form, run.chunk_size);  // says what is wrong with them before anything is read
  const auto file = io::SafetensorsFile::open(path);
  run.input = &file;
  run.settings = settings_of(file, flags);
  ThreadPool pool(threads);
  run.executor = Executor(pool);
  visit_mask(run.settings.mask, [&](auto mask) {
    dtype == "float64" ? run_attention<decltype(mask), double>(run) : run_attention<decltype(mask), float>(run);
  });
}

}  // namespace
}  // namespace lion::examples

int main(int argc, char** argv) {
  using namespace lion::examples;
  CLI::App app(
      "Runs LION attention on tensors from a safetensors file: q, k [B,Hk,L,D], v [B,H,L,E], log_lambda [H] or "
      "[B,H,L], and where present order, order2 [L] with log_lambda2, key_mask [B,L], cu_seqlens, and dy for "
      "--backward. Writes y and, with --backward, dq dk dv dlog_lambda dlog_lambda2 as applicable.",
      "lion_attention");
  std::string input, dtype = "float32";
  lion::Index threads = 0;
  AttentionFlags flags;
  AttentionRun run;
  Device device;
  app.add_option("--input", input, "safetensors file with the tensors")->required();
  app.add_option("--output", run.output, "safetensors file to write")->required();
  app.add_option("--form", run.form, "full, rnn, chunk or auto")->capture_default_str();
  app.add_option("--chunk-size", run.chunk_size, "tokens in a chunk")->capture_default_str();
  app.add_flag("--backward", run.backward, "also compute the gradients, from dy");
  app.add_option("--dtype", dtype, "float32 or float64: what is computed and written")->capture_default_str();
  app.add_option("--device", device.name, "cpu, or cuda for float32 on a GPU")->capture_default_str();
  app.add_option("--mask", flags.mask, "linear, decay or selective [the file's metadata]");
  app.add_option("--normalise", flags.normalise, "True: rows are divided by their sum [metadata, else True]");
  app.add_option("--eps", flags.epsilon, "added to the sum of a row [metadata, else 1e-6]");
  app.add_option("--scale", flags.scale, "factor of the scores [metadata, else D^-1/2]");
  app.add_option("--orders", flags.orders,
                 "0, 1 or 2: how many orders of the tokens [metadata, else those in the file]");
  add_threads(app, threads);
  return lion::examples::run(app, argc, argv, [&] { run_program(input, flags, dtype, device, threads, run); });
}
