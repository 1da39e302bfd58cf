#include "novel/contest.hpp"
#include "tables/over_seeds.hpp"
#include "tables/text_models.hpp"

namespace lion::bench {
namespace {

namespace novel = examples::novel;

/// The same for all models and seeds, but for the seed itself: of weights, order of the data, and masks.
novel::Recipe recipe_of(Size size) {
  novel::Recipe recipe = size == Size::quick ? novel::quick_recipe() : novel::Recipe();
  if (size == Size::small_) recipe.steps = 300;
  return recipe;
}

}  // namespace

/// C4 is not at hand where tests run, so accuracy is of the held-out chapters of a novel, each model trained as by
/// examples/novel. All have as many blocks: at this size one of Hydra's has about the parameters of another's.
Json measure_text_accuracy(const Settings& settings) {
  novel::Recipe recipe = recipe_of(settings.size);
  const model::MaskedLanguageConfig config = settings.size == Size::quick ? novel::quick_size() : novel::novel_size();
  const novel::Novel chapters(LION_NOVEL_TXT, novel::kFirstTestChapter);
  const novel::Corpus corpus(chapters, text::train_word_piece(chapters.train, {.vocab_size = recipe.vocab_size}));
  const novel::HeldOut held_out(corpus, recipe);
  std::vector<novel::Contender> contenders;
  for (const TextModel& entry : text_models()) contenders.push_back({entry.name, entry.mask_type});

  const std::size_t n = contenders.size();
  std::vector<std::vector<double>> accuracies(n), losses(n);
  std::vector<Index> parameters(n);
  ThreadPool pool(settings.threads);
  examples::Progress progress("text-accuracy", settings.runs() * static_cast<Index>(n) * recipe.steps);
  for (Index seed = 0; seed < settings.runs(); ++seed) {
    recipe.seed = static_cast<std::uint64_t>(seed);
    std::vector<novel::Trial> trials = novel::make_trials(contenders, config, recipe, corpus);
    novel::train_trials(trials, contenders, recipe, {}, progress, pool);
    const std::vector<novel::Score> scores = novel::score_all(trials, held_out, pool);
    for (std::size_t i = 0; i < n; ++i) {
      accuracies[i].push_back(scores[i].accuracy);
      losses[i].push_back(scores[i].loss);
      parameters[i] = trials[i].model().parameter_count();
    }
  }

  Json models = Json::array();
  for (std::size_t i = 0; i < n; ++i) {
    models.push_back({{"name", contenders[i].name},
                      {"parameters", parameters[i]},
                      {"accuracy", over_seeds(accuracies[i])},
                      {"loss", over_seeds(losses[i])},
                      {"paper_accuracy", text_models()[i].paper_accuracy}});
  }
  return {{"data", "Pride and Prejudice, chapters from " + std::to_string(novel::kFirstTestChapter) + " on held out"},
          {"steps", recipe.steps},
          {"batch", recipe.batch},
          {"length", recipe.length},
          {"vocabulary", corpus.vocab_size()},
          {"seeds", settings.runs()},
          {"training tokens", corpus.train.tokens()},
          {"held-out tokens", corpus.test.tokens()},
          {"of them asked for", held_out.size()},
          {"width", config.hidden_size},
          {"depth", config.num_hidden_layers},
          {"threads", settings.threads},
          {"models", models}};
}

}  // namespace lion::bench
