/// lion_vision train: a vision model learns the images of a folder.

#include "lion_vision/train.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/device.hpp"
#include "common/program.hpp"
#include "common/progress.hpp"
#include "common/table.hpp"
#include "lion/core/atomic_file.hpp"
#include "lion/image/folder.hpp"
#include "lion/image/preprocess.hpp"
#include "lion/io/checkpoint.hpp"
#include "lion/train/accuracy.hpp"
#include "lion/train/augment/recipe.hpp"
#include "lion/train/background.hpp"
#include "lion/train/batches.hpp"
#include "lion/train/schedule.hpp"
#include "lion_vision/trainer_on_gpu.hpp"

namespace lion::examples {
namespace {

/// DeiT's, for a smaller batch.
struct Recipe {
  Index epochs = 300, batch = 64;
  double learning_rate = 0;  ///< at its peak; 0: 5e-4 for a batch of 512, in proportion to the batch
  double warmup = 5;         ///< epochs
  double weight_decay = 0.05;
  std::string augment = "deit";
  StepOptions step;
  std::uint64_t seed = 0;

  double peak() const { return learning_rate > 0 ? learning_rate : 5e-4 * static_cast<double>(batch) / 512; }

  void check() const {
    const auto require = [](const char* flag, auto value, bool good, const char* expected) {
      if (good) return;
      throw ArgumentError(std::string(flag) + " is " + model::detail::written(value) + ", expected " + expected);
    };
    require("--epochs", epochs, epochs >= 1, "at least 1");
    require("--batch", batch, batch >= 1, "at least 1");
    const auto positive = [&](const char* flag, double value) {
      require(flag, value, value >= 0 && std::isfinite(value), "a finite value of at least 0");
    };
    positive("--learning-rate", learning_rate);
    positive("--warmup", warmup);
    positive("--weight-decay", weight_decay);
    positive("--clip", step.clip);
    require("--label-smoothing", step.label_smoothing, step.label_smoothing >= 0 && step.label_smoothing <= 1,
            "a value in [0, 1]");
    if (augment != "deit" && augment != "none") {
      throw ArgumentError("--augment is '" + augment + "', expected deit or none");
    }
  }
};

struct Options {
  std::string data, validation, save, size = "tiny";
  std::map<std::string, std::string> config;  ///< keys of the configuration that flags give
  bool resume = false;
  Index threads = 0, workers = 2, stop_after = 0;
  Recipe recipe;
  Device device;
};

/// The model that the flags describe, of one class.
model::VisionConfig config_of(const Options& options) {
  using model::VisionConfig;
  const std::map<std::string, VisionConfig> sizes{{"tiny", VisionConfig::tiny_size()},
                                                  {"small", VisionConfig::small_size()},
                                                  {"base", VisionConfig::base_size()},
                                                  {"hydra", VisionConfig::hydra_base_size()},
                                                  {"vim", VisionConfig::vim_base_size()}};
  const auto size = sizes.find(options.size);
  if (size == sizes.end()) {
    throw ArgumentError("--size is '" + options.size + "', expected tiny, small, base, hydra or vim");
  }
  io::Metadata metadata = model::to_metadata(size->second);
  metadata["num_classes"] = "1";
  metadata["seed"] = std::to_string(options.recipe.seed);
  for (const auto& [key, value] : options.config) {
    if (!value.empty()) metadata[key] = value;
  }
  const VisionConfig config = model::vision_config_from(metadata);
  if (config.distilled) throw ArgumentError("--distilled is True, expected False: there is no teacher here");
  return config;
}

/// How an image becomes a sample to learn from. DeiT's recipe for small images does not resize, so pictures of another
/// size are first made as large as the model's.
class Augment {
 public:
  Augment(const Recipe& recipe, const model::VisionConfig& config, const image::Preprocessing& plain) : plain_(plain) {
    using train::augment::RecipeOptions;
    if (recipe.augment != "deit") return;
    if (config.in_chans != 3) throw ArgumentError("--augment is deit, expected none for images of one channel");
    small_ = config.image_size <= 32;
    deit_.emplace(small_ ? RecipeOptions::deit_small_images() : RecipeOptions::deit());
  }

  void operator()(const image::ConstPixels& in, const View<float, 3>& out, train::Random& random) const {
    if (!deit_) return plain_(in, out);
    const Index side = out.extent(1);
    if (!small_ || (in.extent(0) == side && in.extent(1) == side)) return (*deit_)(in, out, random);
    const image::Image resized = image::resize_short(in, side);
    (*deit_)(image::centre_crop(resized, side), out, random);
  }

 private:
  image::Preprocessing plain_;
  std::optional<train::augment::Recipe> deit_;
  bool small_ = false;
};

/// Of the whole run. Throws ArgumentError if no Index holds them.
Index steps_of(Index epochs, Index per_epoch) {
  const Index most = std::numeric_limits<Index>::max() / per_epoch;
  if (epochs > most) {
    throw ArgumentError("--epochs is " + std::to_string(epochs) + ", expected at most " + std::to_string(most) +
                        " of " + std::to_string(per_epoch) + " steps");
  }
  return epochs * per_epoch;
}

/// Of the classes' names and, in their order, of the files below the root with their labels.
std::string checksum_of(const image::ImageFolder& data, const std::filesystem::path& root) {
  io::Checksum sum;
  for (const std::string& name : data.names()) sum.add(name);
  for (Index i = 0; i < data.size(); ++i) {
    const auto file = data.path(i).lexically_relative(root).generic_u8string();
    sum.add(std::as_bytes(std::span(file.data(), file.size())));
    sum.add(std::to_string(data.label(i)));
  }
  return sum.text();
}

/// A model, its optimiser, and what the run depends on.
class Run {
 public:
  Run(const Options& options, const model::VisionConfig& config, const image::ImageFolder& data)
      : options_(options),
        data_(data),
        files_(checksum_of(data, options.data)),
        batches_(data.size(), options.recipe.batch, options.recipe.seed),
        per_epoch_(batches_.per_epoch()),
        total_(steps_of(options.recipe.epochs, per_epoch_)),
        plain_{image::Normalisation::imagenet(config.in_chans)},
        model_(config),
        parameters_(model_.parameters()),
        optimiser_(parameters_, {.weight_decay = options.recipe.weight_decay}) {}

  Index steps() const { return optimiser_.state().steps; }
  Index total() const { return total_; }
  Index per_epoch() const { return per_epoch_; }
  const image::Preprocessing& plain() const { return plain_; }
  const model::VisionConfig& config() const { return model_.config(); }

  bool finite() const {
    return std::all_of(parameters_.begin(), parameters_.end(), [](const nn::Parameter<float>* p) {
      return std::all_of(p->value.data(), p->value.data() + p->size(), [](float x) { return std::isfinite(x); });
    });
  }
  void save() const { io::save_checkpoint(options_.save, model_, optimiser_, {.settings = settings()}); }
  void load() { io::load_checkpoint(options_.save, model_, optimiser_, settings()); }

  std::unique_ptr<Trainer> trainer(Executor executor) {
    const StepOptions& step = options_.recipe.step;
    if (!options_.device.cuda()) return std::make_unique<HostTrainer>(model_, optimiser_, step, executor);
    std::unique_ptr<Trainer> trainer;
#ifdef LION_EXAMPLES_CUDA
    if (options_.device.dtype == "bfloat16") {
      trainer = trainer_on_gpu<bfloat16>(model_, optimiser_, step, executor);
    } else {
      trainer = trainer_on_gpu<float>(model_, optimiser_, step, executor);
    }
#endif
    return trainer;
  }

  /// The batch of each step; called by several threads at once.
  auto batches() {
    const model::VisionConfig& config = model_.config();
    train::ImageBatchesOptions to{.height = config.image_size,
                                  .width = config.image_size,
                                  .channels = config.in_chans,
                                  .classes = config.num_classes,
                                  .seed = options_.recipe.seed};
    if (options_.recipe.augment == "deit") {
      to.mixup = train::augment::MixupOptions{.label_smoothing = options_.recipe.step.label_smoothing};
    }
    return train::ImageBatches(data_, batches_, Augment(options_.recipe, config, plain_), to);
  }

  train::Cosine schedule() const {
    const double warmup = options_.recipe.warmup * static_cast<double>(per_epoch_);
    return train::Cosine({.peak = options_.recipe.peak(),
                          .total = total_,
                          .warmup = warmup < static_cast<double>(total_) ? static_cast<Index>(warmup) : total_});
  }

 private:
  /// Everything that the run depends on, of the images their places in the folder. Not the device: a run may go on on
  /// another one.
  io::Metadata settings() const {
    const Recipe& recipe = options_.recipe;
    io::Metadata settings = model::to_metadata(model_.config());
    const auto set = [&](const char* key, const auto& value) { settings[key] = model::detail::written(value); };
    set("train_images", data_.size());
    set("train_files", files_);
    set("train_epochs", recipe.epochs);
    set("train_batch", recipe.batch);
    set("train_learning_rate", recipe.peak());
    set("train_warmup", recipe.warmup);
    set("train_augment", recipe.augment);
    set("train_label_smoothing", recipe.step.label_smoothing);
    set("train_clip", recipe.step.clip);
    return settings;
  }

  const Options& options_;
  const image::ImageFolder& data_;
  std::string files_;
  train::Batches batches_;
  Index per_epoch_, total_;
  image::Preprocessing plain_;
  model::Vision<float> model_;
  std::vector<nn::Parameter<float>*> parameters_;
  train::AdamW<float> optimiser_;
};

/// The share of the images that the model tells right.
double accuracy(Trainer& trainer, const image::ImageFolder& images, const Run& run, Index batch, Index workers) {
  const model::VisionConfig& config = run.config();
  const train::SequentialBatches rows(images.size(), batch);
  train::ImageBatches batches(images, rows, run.plain(),
                              {.height = config.image_size, .width = config.image_size, .channels = config.in_chans});
  train::Background<train::ImageBatch> loader(std::ref(batches), {.threads = workers, .end = rows.count()});
  Index right = 0;
  while (const train::ImageBatch* batch_of = loader.next()) {
    Tensor<float, 2> logits({batch_of->images.extent(0), config.num_classes});
    trainer.classify(batch_of->images.view(), logits.view());
    right += train::count_correct<float>(std::as_const(logits).view(), batch_of->labels);
  }
  return static_cast<double>(right) / static_cast<double>(images.size());
}

/// Trains as far as the options say; the checkpoint is written, and validation made, after every epoch.
void learn(Run& run, Trainer& trainer, const image::ImageFolder* validation, const Options& options) {
  auto batches = run.batches();
  const train::Cosine schedule = run.schedule();
  const Index first = run.steps();
  const bool stops = options.stop_after > 0 && options.stop_after <= (run.total() - first) / run.per_epoch();
  const Index end = stops ? first + options.stop_after * run.per_epoch() : run.total();
  train::Background<train::ImageBatch> loader(std::ref(batches),
                                              {.threads = options.workers, .first = first, .end = end});
  Progress progress("training", end - first);
  double sum = 0;
  Index summed = 0;
  for (Index step = first; step < end; ++step) {
    const train::ImageBatch* batch = loader.next();
    const double loss = trainer.step(*batch, schedule(step));
    const auto require = [&](bool finite, const char* what, const char* verb) {
      if (finite) return;
      throw Error(what + std::to_string(step + 1) + verb + " not finite: nothing is saved since the last whole epoch");
    };
    require(std::isfinite(loss), "the loss of step ", " is");
    sum += loss, ++summed;
    progress.advance(1, format("loss %.3f", loss));
    if ((step + 1) % run.per_epoch() != 0) continue;
    trainer.download();
    require(run.finite(), "the weights after step ", " are");
    run.save();
    std::cout << "epoch " << (step + 1) / run.per_epoch() << "  loss "
              << format("%.4f", sum / static_cast<double>(summed));
    if (validation) {
      std::cout << format("  validation %.2f %%",
                          100 * accuracy(trainer, *validation, run, options.recipe.batch, options.workers));
    }
    std::cout << std::endl;
    sum = 0, summed = 0;
  }
}

void run_program(const Options& options) {
  check_threads(options.threads);
  options.recipe.check();
  for (const auto& [flag, value] : {std::pair("--workers", options.workers), {"--stop-after", options.stop_after}}) {
    if (value < 0) throw ArgumentError(std::string(flag) + " is " + std::to_string(value) + ", expected at least 0");
  }
  check_device(options.device, "");
  if (options.device.dtype == "float16") throw ArgumentError("--dtype is 'float16', expected float32 or bfloat16");
  if (!options.resume && std::filesystem::exists(options.save)) {
    throw ArgumentError("--save is " + options.save + ", which is there: add --resume to go on with it");
  }
  AtomicFile{options.save};  // said now rather than after the first epoch

  model::VisionConfig config = config_of(options);
  const image::ImageFolder data(options.data, config.in_chans);
  config.num_classes = data.classes();
  std::optional<image::ImageFolder> validation;
  if (!options.validation.empty()) {
    validation.emplace(options.validation, config.in_chans);
    if (validation->names() != data.names()) {
      throw ArgumentError("--validation is " + options.validation + ", which has other classes than " + options.data);
    }
  }
  Run run(options, config, data);
  if (options.resume) run.load();
  ThreadPool pool(options.threads);
  const std::unique_ptr<Trainer> trainer = run.trainer(pool);
  std::cout << data.size() << " images of " << data.classes() << " classes; " << options.recipe.epochs << " epochs of "
            << run.per_epoch() << " steps, " << run.steps() << " of " << run.total() << " taken" << std::endl;
  learn(run, *trainer, validation ? &*validation : nullptr, options);
}

}  // namespace

int train_command(int argc, char** argv) {
  CLI::App app(
      "Trains a vision model on the images of a folder with a directory for each class, by DeiT's recipe: AdamW, "
      "warm-up and half a cosine, RandAugment, random erasing, Mixup and CutMix. The checkpoint, written after every "
      "epoch, is a weights file for lion_vision, too.",
      "lion_vision train");
  Options options;
  Recipe& recipe = options.recipe;
  app.add_option("--data", options.data, "folder with a directory of images for each class")->required();
  app.add_option("--validation", options.validation, "folder of the same classes, classified after every epoch");
  app.add_option("--save", options.save, "checkpoint to write after every epoch")->required();
  app.add_flag("--resume", options.resume, "go on with the run in the file of --save, on any device");
  app.add_option("--stop-after", options.stop_after, "epochs from here on, to go on later; 0: to the end")
      ->capture_default_str();
  app.add_option("--epochs", recipe.epochs, "passes over the images")->capture_default_str();
  app.add_option("--batch", recipe.batch, "images of a step")->capture_default_str();
  app.add_option("--learning-rate", recipe.learning_rate, "at its peak [5e-4 · batch/512]");
  app.add_option("--warmup", recipe.warmup, "epochs until the peak")->capture_default_str();
  app.add_option("--weight-decay", recipe.weight_decay, "of AdamW")->capture_default_str();
  app.add_option("--label-smoothing", recipe.step.label_smoothing, "in [0, 1]")->capture_default_str();
  app.add_option("--clip", recipe.step.clip, "of the gradients' norm; 0: none")->capture_default_str();
  app.add_option("--augment", recipe.augment, "deit, or none: images as for inference, not mixed")
      ->capture_default_str();
  app.add_option("--seed", recipe.seed, "of weights, order, augmentation and dropout")->capture_default_str();
  app.add_option("--workers", options.workers, "threads that read and augment images ahead")->capture_default_str();
  add_threads(app, options.threads);
  add_device(app, options.device, "training", "float32 or bfloat16");
  app.add_option("--size", options.size, "tiny, small, base, hydra or vim: what the flags below do not say")
      ->capture_default_str();
  add_config(
      app, options.config,
      {"image_size", "patch_size", "in_chans", "embed_dim", "num_heads", "depth", "mask_type", "order", "pos_emb",
       "cls_tok", "distilled", "mlp_ratio", "d_state", "head_dim", "dropout", "drop_path", "form", "chunk_size"},
      "The model");
  return run(app, argc, argv, [&] { run_program(options); });
}

}  // namespace lion::examples
