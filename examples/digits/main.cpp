/// Trains LION-LIT, LION-D, LION-D♮, LION-S, LION-S♮ and a softmax ViT of the same size on handwritten digits, and lets
/// the best LION model classify the test set in its three forms.

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <string>

#include "common/program.hpp"
#include "digits/contest.hpp"
#include "digits/forms.hpp"
#include "lion/core/atomic_file.hpp"
#include "lion/io/model.hpp"

namespace lion::examples::digits {
namespace {

struct Options {
  std::string data = LION_DIGITS_CSV, save;
  Index threads = 0, seeds = 3, repeats = 10;
  bool pack = false;
  Recipe recipe;
  model::VisionConfig config = digits_size();
};

void run_program(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  check_threads(options.threads);
  for (const auto& [name, value] :
       {std::pair("--epochs", options.recipe.epochs), std::pair("--seeds", options.seeds)}) {
    if (value < 1) throw ArgumentError(std::string(name) + " is " + std::to_string(value) + ", expected at least 1");
  }
  if (options.config.embed_dim < 1 || options.config.embed_dim % options.config.num_heads != 0) {
    throw ArgumentError("--width is " + std::to_string(options.config.embed_dim) +
                        ", expected a positive multiple of the " + std::to_string(options.config.num_heads) + " heads");
  }
  if (options.pack && options.config.embed_dim < 64) {
    throw ArgumentError("--pack is given with --width " + std::to_string(options.config.embed_dim) +
                        ", expected at least 64: narrower layers are not packed");
  }
  if (!options.save.empty()) AtomicFile{options.save};  // said now rather than after the training
  const Digits digits(options.data);
  if (digits.data.train.size() < options.recipe.batch) {
    throw ArgumentError(options.data + " has " + std::to_string(digits.data.train.size()) +
                        " digits to train on, expected at least a batch of " + std::to_string(options.recipe.batch));
  }
  model::VisionConfig config = options.config;
  config.num_classes = digits.data.classes;
  ThreadPool pool(options.threads);

  std::cout << digits.data.train.size() << " digits to train on, " << digits.data.test.size() << " to test; "
            << config.depth << " blocks of width " << config.embed_dim << ", " << config.num_heads
            << " heads, a token per pixel; " << options.recipe.epochs << " epochs in batches of "
            << options.recipe.batch << ", " << options.seeds << (options.seeds == 1 ? " seed, " : " seeds, ")
            << pool.concurrency() << (pool.concurrency() == 1 ? " thread" : " threads") << std::endl;
  ContestResult result = run_contest(contenders(), config, options.recipe, options.seeds, digits, pool, options.pack);
  std::cout << '\n';
  print_standings(result, std::cout);
  std::cout << format("×1 is %.1f ms\n", 1e3 * median(result.times.per_step));

  std::cout << '\n'
            << result.best.name << " of seed " << result.best.seed << " on the " << digits.data.test.size()
            << " digits of the test set:\n\n";
  compare_forms(*result.best.model, digits, options.repeats, pool, std::cout);
  if (!options.save.empty()) {
    io::SaveOptions saved{.metadata = model::to_metadata(result.best.model->config())};
    saved.metadata["mean"] = format("%.9g", static_cast<double>(digits.mean));
    saved.metadata["std"] = format("%.9g", static_cast<double>(digits.deviation));
    saved.metadata["crop_pct"] = "1";
    io::save_weights(options.save, *result.best.model, saved);
    std::cout << "\nsaved as " << options.save << '\n';
  }
  std::cout << format("\n%.0f s in all\n",
                      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace
}  // namespace lion::examples::digits

int main(int argc, char** argv) {
  using namespace lion::examples;
  using namespace lion::examples::digits;
  CLI::App app(
      "Trains LION-LIT, LION-D, LION-D♮, LION-S, LION-S♮ and a softmax ViT of the same size on handwritten "
      "digits; then the best LION model classifies the test set in the full, RNN and chunk forms.",
      "digits");
  Options options;
  bool quick = false;
  app.add_option("--data", options.data, "file of 64 pixels and a label per line")->capture_default_str();
  auto* epochs =
      app.add_option("--epochs", options.recipe.epochs, "passes over the training set")->capture_default_str();
  auto* seeds =
      app.add_option("--seeds", options.seeds, "runs of each model, of which the mean is taken")->capture_default_str();
  app.add_option("--width", options.config.embed_dim, "of the models")->capture_default_str();
  app.add_flag("--pack", options.pack, "test with weights packed as bfloat16 and as int8, too");
  app.add_flag("--quick", quick, "one epoch, one seed, where these are not given: seconds, for a look");
  app.add_option("--save", options.save, "safetensors file for the best LION model; lion_vision reads it");
  add_threads(app, options.threads);
  return run(app, argc, argv, [&] {
    if (quick && epochs->count() == 0) options.recipe.epochs = 1;
    if (quick && seeds->count() == 0) options.seeds = 1;
    if (quick) options.repeats = 2;
    run_program(options);
  });
}
