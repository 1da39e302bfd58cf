#include "lion/io/checkpoint.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "io/files.hpp"
#include "lion/model/vision.hpp"
#include "lion/train/train.hpp"
#include "support/catch.hpp"
#include "support/require_error.hpp"

using lion::ArgumentError;
using lion::FileError;
using lion::Index;
using lion::Tensor;
namespace io = lion::io;
namespace train = lion::train;

namespace {

constexpr Index kImages = 12, kBatch = 4, kClasses = 3, kSteps = 7;

lion::model::VisionConfig config_of(std::uint64_t seed) {
  lion::model::VisionConfig config;
  config.image_size = 4;
  config.patch_size = 2;
  config.in_chans = 1;
  config.embed_dim = 8;
  config.num_heads = 2;
  config.depth = 2;
  config.num_classes = kClasses;
  config.dropout = 0.2;
  config.drop_path = 0.2;
  config.seed = seed;
  return config;
}

/// A run whose every step depends on its number: data order, noise of the data, dropout, learning rate.
struct Run {
  explicit Run(std::uint64_t initial = 1, train::AdamWOptions options = train::AdamWOptions::masked_language(0.05))
      : model(config_of(initial)), parameters(model.parameters()), optimiser(parameters, options) {}

  double step() {
    const Index t = optimiser.state().steps;
    train::Batches batches(kImages, kBatch, 3);
    Tensor<float, 4> images({kBatch, 1, 4, 4});
    Tensor<float, 2> logits({kBatch, kClasses}), dlogits({kBatch, kClasses});
    std::vector<Index> labels;
    train::Random noise(7, static_cast<std::uint64_t>(t));
    for (const Index row : batches.rows(t)) {
      for (int i = 0; i < 16; ++i) {
        images.data()[labels.size() * 16 + static_cast<std::size_t>(i)] =
            static_cast<float>(0.1 * noise.normal() + static_cast<double>(row % kClasses) * (i % 3));
      }
      labels.push_back(row % kClasses);
    }
    model.zero_grad();
    model.forward_train(images.view(), logits.view(), {}, static_cast<std::uint64_t>(t));
    const double loss = train::cross_entropy<float>(logits.view(), labels, dlogits.view());
    model.backward(dlogits.view());
    train::clip_grad_norm<float>(parameters, 1);
    optimiser.step(train::Linear(train::ScheduleOptions::masked_language(0.05, 40))(t));
    return loss;
  }

  /// Every weight and moment.
  std::vector<float> values() const {
    std::vector<float> all;
    for (const auto* p : parameters) all.insert(all.end(), p->value.data(), p->value.data() + p->size());
    for (const auto* moments : {&optimiser.state().first, &optimiser.state().second}) {
      for (const auto& m : *moments) all.insert(all.end(), m.data(), m.data() + m.size());
    }
    return all;
  }

  lion::model::Vision<float> model;
  std::vector<lion::nn::Parameter<float>*> parameters;
  train::AdamW<float> optimiser;
};

io::Metadata settings() { return lion::model::to_metadata(config_of(1)); }

void save(const std::filesystem::path& path, const Run& run, io::Metadata progress = {}) {
  io::save_checkpoint(path, run.model, run.optimiser, {settings(), std::move(progress)});
}
io::Metadata load(const std::filesystem::path& path, Run& run) {
  return io::load_checkpoint(path, run.model, run.optimiser, settings());
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("a run stopped after any step and taken up again has the same losses and weights, bit for bit") {
  const Folder folder;
  const auto path = folder / "run.safetensors";
  Run straight;
  std::vector<double> losses;
  for (Index t = 0; t < kSteps; ++t) losses.push_back(straight.step());
  REQUIRE(losses.front() != losses.back());
  for (Index stop = 0; stop <= kSteps; ++stop) {
    INFO("stopped after " << stop << " steps");
    {
      Run first;
      for (Index t = 0; t < stop; ++t) REQUIRE(first.step() == losses[static_cast<std::size_t>(t)]);
      save(path, first, {{"seen", std::to_string(stop * kBatch)}});
    }
    Run second(99);  // other weights, until they are loaded
    REQUIRE(load(path, second) == io::Metadata{{"seen", std::to_string(stop * kBatch)}});
    REQUIRE(second.optimiser.state().steps == stop);
    for (Index t = stop; t < kSteps; ++t) REQUIRE(second.step() == losses[static_cast<std::size_t>(t)]);
    REQUIRE(same_bits(second.values(), straight.values()));
    REQUIRE(folder.count() == 1);
  }

  // The file is also one of weights.
  lion::model::Vision<float> model(config_of(5));
  io::load_weights(io::SafetensorsFile::open(path), model, {.allow_unexpected = true});
  REQUIRE(std::memcmp(model.parameters()[1]->value.data(), straight.parameters[1]->value.data(),
                      static_cast<std::size_t>(model.parameters()[1]->size()) * sizeof(float)) == 0);
}

TEST_CASE("a process killed while it saves leaves the last good checkpoint, and what it left goes with the next") {
  const Folder folder;
  const auto path = folder / "run.safetensors";
  Run saved;
  save(path, saved, {{"saves", "0"}});
  train::Random random(11);
  Index known = 0;
  bool found_half = false;  // what a killed save left beside the checkpoint
  for (int round = 0; round < 20 || (!found_half && round < 200); ++round) {
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {  // saves as often as it can, and says so after each
      Run run;
      for (Index n = known + 1;; ++n) {
        for (auto* p : run.parameters) p->value.fill(static_cast<float>(n));
        save(path, run, {{"saves", std::to_string(n)}});
        const char done = 1;
        if (::write(pipe_ends[1], &done, 1) != 1) ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    char first = 0;  // however slow the machine is, a save is over and another has begun
    REQUIRE(::read(pipe_ends[0], &first, 1) == 1);
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(20000)));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    found_half = found_half || folder.count() > 1;
    Index finished = 1;
    for (char done; ::read(pipe_ends[0], &done, 1) == 1;) ++finished;
    ::close(pipe_ends[0]);

    Run run;
    const Index saves = std::stol(load(path, run).at("saves"));
    REQUIRE(saves >= known + finished);      // nothing that was said to be saved is lost
    REQUIRE(saves <= known + finished + 1);  // and at most one save was not said
    if (saves > 0) {
      for (const auto* p : run.parameters) REQUIRE(p->value(p->size() - 1) == static_cast<float>(saves));
    }
    known = saves;
  }
  REQUIRE(known >= 20);
  REQUIRE(found_half);
  write_file(folder / "run.safetensors.x-1.tmp", "of somebody else");
  write_file(folder / "run.safetensors.999999999-before.tmp", "of somebody else");
  write_file(folder.path() / ("run.safetensors." + std::to_string(::getpid()) + "-9.tmp"), "of one that lives");
  save(path, saved);
  REQUIRE(folder.count() == 4);
}

TEST_CASE("a damaged checkpoint is one clear error, wherever the damage is, and changes nothing") {
  const Folder folder;
  const auto path = folder / "run.safetensors", broken = folder / "broken.safetensors";
  Run run;
  run.step();
  save(path, run);
  const std::string bytes = read_file(path);
  const std::vector<float> before = run.values();
  train::Random random(2);
  Index checksums = 0;
  const auto refused = [&](const std::string& damaged) {
    write_file(broken, damaged);
    try {
      load(broken, run);
    } catch (const FileError& error) {
      const std::string message = error.what();
      REQUIRE(message.find("broken.safetensors") != std::string::npos);
      REQUIRE(message.find('\n') == std::string::npos);
      checksums += message == "load_checkpoint: " + broken.string() +
                                  " is damaged: its contents do not have the checksum that was written with them";
      return;
    }
    FAIL("not refused");
  };
  for (int i = 0; i < 1500; ++i) {  // one bit, half of them in the header
    std::string damaged = bytes;
    const Index at = random.below(i % 2 == 0 ? static_cast<Index>(bytes.size()) : 4000);
    damaged[static_cast<std::size_t>(at)] ^= static_cast<char>(1 << random.below(8));
    if (damaged[static_cast<std::size_t>(at)] == '\n') continue;  // blank space for another
    refused(damaged);
  }
  REQUIRE(checksums > 500);
  for (int i = 0; i < 20; ++i)
    refused(bytes.substr(0, 1 + static_cast<std::size_t>(random.below(static_cast<Index>(bytes.size()) - 1))));
  refused(bytes + "x");
  REQUIRE(same_bits(run.values(), before));
  REQUIRE(run.optimiser.state().steps == 1);

  io::save_weights(broken, run.model);
  require_error<FileError>([&] { load(broken, run); }, "load_checkpoint: " + broken.string() +
                                                           " is no checkpoint: its metadata has no version and "
                                                           "checksum of one");
  std::filesystem::remove(broken);
  require_error<FileError>([&] { load(broken, run); }, "open: " + broken.string() + ": No such file or directory");
}

TEST_CASE("a checkpoint of another run lists what differs and changes nothing") {
  const Folder folder;
  const auto path = folder / "run.safetensors";
  const std::string prefix = "load_checkpoint: " + path.string() + " is of another run: ";
  Run run;
  run.step();
  save(path, run);

  Run other(1, {.beta1 = 0.8});
  const std::vector<float> before = other.values();
  io::Metadata asked = settings();
  asked["seed"] = "2";
  asked["batch"] = "4";
  asked.erase("dropout");
  require_error<FileError>([&] { io::load_checkpoint(path, other.model, other.optimiser, asked); },
                           prefix +
                               "settings that differ: 'batch' is missing, expected '4', 'dropout' is '0.2', expected "
                               "none, 'optimiser.beta1' is '0.9', expected '0.8', 'optimiser.beta2' is '0.98', "
                               "expected '0.999', 'optimiser.epsilon' is '1e-06', expected '1e-08', "
                               "'optimiser.peak_learning_rate' is '0.05', expected '0', 'optimiser.weight_decay' is "
                               "'1e-05', expected '0.01', 'seed' is '1', expected '2'");
  REQUIRE(same_bits(other.values(), before));

  lion::model::VisionConfig wider = config_of(1);
  wider.num_classes = 5;
  lion::model::Vision<float> model(wider);
  const auto parameters = model.parameters();
  train::AdamW<float> optimiser(parameters, run.optimiser.options());
  require_error<FileError>(
      [&] { io::load_checkpoint(path, model, optimiser, lion::model::to_metadata(wider)); },
      prefix +
          "settings that differ: 'num_classes' is '3', expected '5'; misshapen tensors: 'head.bias' has shape "
          "[3], expected [5], 'head.weight' has shape [3,8], expected [5,8], 'optimiser.first.head.bias' has shape "
          "[3], "
          "expected [5], 'optimiser.first.head.weight' has shape [3,8], expected [5,8], 'optimiser.second.head.bias' "
          "has shape [3], expected [5], 'optimiser.second.head.weight' has shape [3,8], expected [5,8]");

  lion::model::Vision<double> wide(config_of(1));
  const auto doubles = wide.parameters();
  train::AdamW<double> exact(doubles, run.optimiser.options());
  require_error<FileError>([&] { io::load_checkpoint(path, wide, exact, settings()); },
                           prefix + "settings that differ: 'checkpoint.dtype' is 'F32', expected 'F64'");

  train::AdamW<float> partial(std::span(run.parameters).first(1), run.optimiser.options());
  try {
    io::load_checkpoint(path, run.model, partial, settings());
    FAIL("nothing was thrown");
  } catch (const FileError& error) {
    REQUIRE(std::string(error.what()).find("unexpected tensors: 'optimiser.first.blocks.0.") != std::string::npos);
  }

  require_error<ArgumentError>(
      [&] {
        io::save_checkpoint(path, run.model, run.optimiser, {{{"progress.step", "1"}}, {}});
      },
      "checkpoint: setting 'progress.step' begins with 'progress.', which is reserved");
  require_error<FileError>([&] { save("no-such-folder/run.safetensors", run); },
                           "write: no-such-folder/run.safetensors: No such file or directory");
}

TEST_CASE("moving averages go with the checkpoint") {
  const Folder folder;
  const auto path = folder / "run.safetensors";
  const auto ema_of = [](Run& run) { return train::Ema<float>(run.parameters, {.decay = 0.9}); };
  Run first;
  train::Ema<float> average = ema_of(first);
  const auto step = [](Run& run, train::Ema<float>& ema) {
    run.step();
    ema.update();
  };
  step(first, average);
  io::save_checkpoint(path, first.model, first.optimiser, {settings(), {}}, &average);
  step(first, average);
  Run second(99);
  train::Ema<float> again = ema_of(second);
  io::load_checkpoint(path, second.model, second.optimiser, settings(), &again);
  REQUIRE(again.state().updates == 1);
  step(second, again);
  for (std::size_t i = 0; i < first.parameters.size(); ++i) {
    const auto &a = average.state().averages[i], &b = again.state().averages[i];
    REQUIRE(std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(double)) == 0);
  }
  REQUIRE_THROWS_WITH(load(path, second), Catch::Contains("is of another run: unexpected tensors: 'ema."));
  save(path, first);
  REQUIRE_THROWS_WITH(io::load_checkpoint(path, second.model, second.optimiser, settings(), &again),
                      Catch::Contains("missing tensors: 'ema."));
  average.swap_in();
  require_error<ArgumentError>(
      [&] {
        io::save_checkpoint(path, first.model, first.optimiser, {settings(), {}}, &average);
      },
      "checkpoint: the model has its averages, expected its weights");
}
