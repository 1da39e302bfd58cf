/// Trains LION-S, LION-D, LION-LIT and a BERT of the same size to fill in masked words of Pride and Prejudice, on a
/// vocabulary learnt from it.

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <string>

#include "common/program.hpp"
#include "novel/contest.hpp"
#include "novel/fill.hpp"

namespace lion::examples::novel {
namespace {

struct Options {
  std::string data = LION_NOVEL_TXT, save, load, fill;
  bool resume = false, pack = false;
  Index threads = 0, save_every = 50;
  Recipe recipe;
  model::MaskedLanguageConfig config = novel_size();
};

std::filesystem::path vocabulary_file(const std::filesystem::path& folder) { return folder / "vocab.txt"; }

/// Makes the folder; a run that is in it is gone on with or left alone.
Saving prepare(const Options& options) {
  if (options.resume && options.save.empty()) throw ArgumentError("--resume is given, expected --save DIR with it");
  if (options.save.empty()) return {};
  for (const Contender& contender : contenders()) {
    const std::filesystem::path path = std::filesystem::path(options.save) / contender.file;
    if (options.resume || !std::filesystem::exists(path)) continue;
    throw ArgumentError("--save is " + options.save + ", which has " + contender.file +
                        " of another run: add --resume to go on with it");
  }
  std::error_code error;
  std::filesystem::create_directories(options.save, error);
  if (error) throw FileError("--save is " + options.save + ": " + error.message());
  return {options.save, options.resume, options.save_every};
}

void fill_from_file(const Options& options) {
  if (options.fill.empty()) throw ArgumentError("--load is given, expected --fill TEXT with it");
  const auto file = io::SafetensorsFile::open(options.load);
  model::MaskedLanguage<float> model(model::masked_language_config_from(file.metadata()), model::Initial::zero);
  io::load_weights(file, model, {.allow_unexpected = true});
  const text::Tokenizer tokenizer(
      text::Vocabulary::load(vocabulary_file(std::filesystem::path(options.load).parent_path())));
  ThreadPool pool(options.threads);
  fill(model, tokenizer, options.fill, pool, std::cout);
}

void train_and_fill(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const Recipe& recipe = options.recipe;
  if (recipe.steps < 1) throw ArgumentError("--steps is " + std::to_string(recipe.steps) + ", expected at least 1");
  if (options.pack && options.config.hidden_size < 64) {
    throw ArgumentError("--pack is given with models of width " + std::to_string(options.config.hidden_size) +
                        ", expected at least 64, so not --quick: narrower layers are not packed");
  }
  if (!options.fill.empty() && options.fill.find("[MASK]") == std::string::npos) {
    throw ArgumentError("--fill is \"" + options.fill + "\", expected a text with [MASK] in it");
  }
  const Saving saving = prepare(options);
  const Novel novel(options.data, kFirstTestChapter);
  const Corpus corpus(novel, text::train_word_piece(novel.train, {.vocab_size = recipe.vocab_size}));
  const HeldOut held_out(corpus, recipe);
  if (corpus.train.tokens() < recipe.length || held_out.size() == 0) {
    throw FileError(options.data + " is too short: " + std::to_string(corpus.train.tokens()) +
                    " tokens to train on, of which a sequence takes " + std::to_string(recipe.length) + ", and " +
                    std::to_string(held_out.size()) + " held-out tokens to ask for");
  }
  if (const auto tokens = corpus.tokenizer.encode(options.fill).ids.size();
      tokens > static_cast<std::size_t>(recipe.length)) {
    throw ArgumentError("--fill has " + std::to_string(tokens) + " tokens, expected at most " +
                        std::to_string(recipe.length));
  }
  ThreadPool pool(options.threads);

  std::cout << corpus.train.tokens() << " tokens to train on, " << corpus.test.tokens() << " held out, "
            << held_out.size() << " of them masked; a vocabulary of " << corpus.vocab_size() << ", "
            << options.config.num_hidden_layers << " blocks of width " << options.config.hidden_size << ", "
            << options.config.num_attention_heads << " heads; " << recipe.steps << " steps of " << recipe.batch << " × "
            << recipe.length << " tokens, " << pool.concurrency() << (pool.concurrency() == 1 ? " thread" : " threads")
            << std::endl;
  std::vector<Trial> trials = make_trials(contenders(), options.config, recipe, corpus, saving);
  if (!saving.folder.empty()) corpus.tokenizer.vocabulary().save(vocabulary_file(saving.folder));
  Index steps = 0;
  for (const Trial& trial : trials) steps += recipe.steps - trial.step();
  Progress progress("training", steps);
  const TurnTimes times = train_trials(trials, contenders(), recipe, saving, progress, pool);
  const std::vector<Score> found = score_all(trials, held_out, pool);
  std::cout << '\n';
  print_standings(trials, found, times, held_out.score_of_frequencies(corpus), std::cout);
  if (!times.per_step.empty()) std::cout << format("×1 is %.1f ms\n", 1e3 * median(times.per_step));
  if (options.pack) {
    std::cout << '\n';
    print_packed(trials, found, held_out, pool, std::cout);
  }
  if (!saving.folder.empty()) std::cout << "\nsaved in " << saving.folder.string() << '\n';
  if (!options.fill.empty()) {
    const Trial& best = trials[best_of(found)];
    std::cout << '\n' << best.name() << " on \"" << options.fill << "\":\n\n";
    fill(best.model(), corpus.tokenizer, options.fill, pool, std::cout);
  }
  std::cout << format("\n%.0f s in all\n",
                      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace
}  // namespace lion::examples::novel

int main(int argc, char** argv) {
  using namespace lion::examples;
  using namespace lion::examples::novel;
  CLI::App app(
      "Trains LION-S, LION-D, LION-LIT and a BERT of the same size to fill in masked words of Pride and Prejudice: "
      "chapters 1 to 55 to learn from, those from 56 on to be measured by.",
      "novel");
  Options options;
  bool quick = false;
  app.add_option("--data", options.data, "text with lines 'Chapter 1', 'Chapter 2', …")->capture_default_str();
  auto* steps = app.add_option("--steps", options.recipe.steps, "training steps of each model")->capture_default_str();
  app.add_option("--seed", options.recipe.seed, "of weights, data and masks")->capture_default_str();
  app.add_flag("--quick", quick, "small models and few steps, for a look: they learn nothing");
  app.add_flag("--pack", options.pack, "score with weights packed as bfloat16 and as int8, too");
  app.add_option("--save", options.save, "folder for vocab.txt and a checkpoint of each model, kept while they train");
  app.add_flag("--resume", options.resume, "go on with the run in the folder of --save");
  app.add_option("--fill", options.fill, "text whose [MASK] the best model fills in");
  app.add_option("--load", options.load, "checkpoint, beside its vocab.txt, to --fill from instead of training");
  add_threads(app, options.threads);
  return run(app, argc, argv, [&] {
    check_threads(options.threads);
    if (quick) {
      Recipe look = quick_recipe();
      look.seed = options.recipe.seed;
      if (steps->count() > 0) look.steps = options.recipe.steps;
      options.recipe = look;
      options.config = quick_size();
      options.save_every = 4;
    }
    options.load.empty() ? train_and_fill(options) : fill_from_file(options);
  });
}
