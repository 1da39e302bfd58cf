#include "digits/contest.hpp"
#include "tables/image_models.hpp"
#include "tables/over_seeds.hpp"

namespace lion::bench {

/// ImageNet is not at hand where tests run, so accuracy is of the 360 test digits, each model trained as by
/// examples/digits.
Json measure_images_accuracy(const Settings& settings) {
  examples::digits::Recipe recipe;
  if (settings.size != Size::base) recipe.epochs = settings.size == Size::quick ? 1 : 4;
  const examples::digits::Digits digits(LION_DIGITS_CSV);
  model::VisionConfig config = examples::digits::digits_size();
  config.num_classes = digits.data.classes;
  std::vector<examples::digits::Contender> contenders;
  for (const ImageModel& entry : image_models()) contenders.push_back({entry.name, entry.configure});
  ThreadPool pool(settings.threads);
  const examples::digits::ContestResult result =
      examples::digits::run_contest(contenders, config, recipe, settings.runs(), digits, pool);
  Json models = Json::array();
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    const examples::digits::Standing& s = result.standings[i];
    models.push_back({{"name", s.name},
                      {"parameters", s.parameters},
                      {"accuracy", over_seeds(s.accuracies)},
                      {"paper_accuracy", image_models()[i].paper_accuracy}});
  }
  return {{"data", "handwritten digits"}, {"teacher of DeiT", "LION-D♮ under the same recipe"},
          {"epochs", recipe.epochs},      {"seeds", settings.runs()},
          {"width", config.embed_dim},    {"depth", config.depth},
          {"threads", settings.threads},  {"models", models}};
}

}  // namespace lion::bench
