#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "examples/run_program.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "support/catch.hpp"

using lion::Index;
using lion::io::SafetensorsFile;
using lion::io::SafetensorsWriter;

namespace {

const std::string kProgram = LION_VISION_PROGRAM;
const std::string kScratch = "examples-vision";
const std::string kOutput = "examples-vision-output.safetensors";
const std::string kPicture = "examples-vision-picture.ppm";
const std::string kGolden = std::string(LION_GOLDEN_DIR) + "/vision-";

Ran run(std::vector<std::string> arguments) { return run_program(kProgram, arguments, kScratch); }

void require_refused(std::vector<std::string> arguments, const std::string& message) {
  std::filesystem::remove(kOutput);
  const Ran ran = run(std::move(arguments));
  REQUIRE(ran.err == "lion_vision: " + message + "\n");
  REQUIRE(ran.code == 1);
  REQUIRE(ran.out == "");
  REQUIRE(!std::filesystem::exists(kOutput));
}

/// ‖a − b‖ / ‖b‖.
double error(const SafetensorsFile& got, const SafetensorsFile& golden, const std::string& name) {
  const std::vector<double> a = got.read_values<double>(name), b = golden.read_values<double>(name);
  REQUIRE(got.at(name).shape == golden.at(name).shape);
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    apart += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(apart / size);
}

/// 40 × 30, and what it shows at x, y.
std::vector<int> picture_pixel(int x, int y) {
  return {(x * x * 3 + y) % 256, (y * 8 + x / 7 * 40) % 256, (x + y) % 5 != 0 ? 128 : 250};
}
void write_picture() {
  std::ofstream file(kPicture, std::ios::binary);
  file << "P6\n40 30\n255\n";
  for (int y = 0; y < 30; ++y) {
    for (int x = 0; x < 40; ++x) {
      for (int value : picture_pixel(x, y)) file.put(static_cast<char>(value));
    }
  }
}

}  // namespace

TEST_CASE("lion_vision gives the logits, loss and gradients of every golden model") {
  int files = 0, distilled = 0, state_spaces = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LION_GOLDEN_DIR)) {
    const std::string path = entry.path().string(), ending = ".expected.safetensors";
    const std::string name = entry.path().filename().string();
    const bool state_space = name.starts_with("hydra.") || name.starts_with("vim.");
    if (!(name.starts_with("vision-") || state_space) || !name.ends_with(ending)) continue;
    ++files;
    state_spaces += state_space;
    distilled += name.find("distilled") != name.npos;
    const std::string weights = path.substr(0, path.size() - ending.size()) + ".weights.safetensors";
    const auto golden = SafetensorsFile::open(path);
    for (const char* form : {"full", "rnn", "chunk"}) {
      INFO(name << " " << form);
      std::vector<std::string> arguments{"--weights", weights,  "--input", path,           "--output",
                                         kOutput,     "--form", form,      "--chunk-size", "7"};
      Ran ran = run(arguments);
      REQUIRE(ran.err == "");
      REQUIRE(ran.code == 0);
      REQUIRE(error(SafetensorsFile::open(kOutput), golden, "logits") < 1e-5);

      arguments.push_back("--backward");
      ran = run(arguments);
      REQUIRE(ran.err == "");
      REQUIRE(ran.code == 0);
      const auto got = SafetensorsFile::open(kOutput);
      REQUIRE(error(got, golden, "logits") < 1e-5);
      REQUIRE(got.read_values<double>("loss")[0] ==
              Approx(golden.read_values<double>(state_space ? "loss" : "losses")[0]).epsilon(1e-6));
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
  REQUIRE(files > 0);
  REQUIRE(distilled > 0);
  REQUIRE(state_spaces == 2);
}

TEST_CASE("lion_vision packs its weights, for inference only") {
  const std::string input = kGolden + "decay.expected.safetensors";
  const std::vector<std::string> arguments{
      "--weights", kGolden + "decay.weights.safetensors", "--input", input, "--output", kOutput, "--pack"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), arguments.begin(), arguments.end());
    return more;
  };
  for (const auto& [type, tolerance] : {std::pair("float32", 1e-5), {"bfloat16", 0.05}, {"int8", 0.1}}) {
    INFO(type);
    REQUIRE(run(with({type})).code == 0);
    REQUIRE(error(SafetensorsFile::open(kOutput), SafetensorsFile::open(input), "logits") < tolerance);
  }
  require_refused(with({"int3"}), "weight type is 'int3', expected float32, bfloat16 or int8");
  require_refused(with({"int8", "--backward"}), "--pack is for inference, expected it without --backward");
}

TEST_CASE("lion_vision says which devices it has") {
  const std::vector<std::string> arguments{"--weights", kGolden + "decay.weights.safetensors",
                                           "--input",   kGolden + "decay.expected.safetensors",
                                           "--output",  kOutput,
                                           "--device"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), arguments.begin(), arguments.end());
    return more;
  };
  require_refused(with({"tpu"}), "--device is 'tpu', expected cpu or cuda");
  require_refused(with({"cpu", "--dtype", "bfloat16"}), "--dtype is for --device cuda");
  require_refused(with({"cuda", "--dtype", "int8"}), "--dtype is 'int8', expected float32, bfloat16 or float16");
#ifdef LION_EXAMPLES_CUDA
  require_refused(with({"cuda", "--backward"}), "--backward is for --device cpu");
#else
  require_refused(with({"cuda"}), "--device cuda is not in this build, configure it with -DLION_CUDA=ON");
#endif
}

TEST_CASE("lion_vision prepares a picture as Pillow and torchvision do") {
  write_picture();
  const Ran ran = run({"--weights", kGolden + "decay.weights.safetensors", "--image", kPicture, "--output", kOutput});
  REQUIRE(ran.err == "");
  REQUIRE(ran.code == 0);
  const auto image = SafetensorsFile::open(kOutput).read_tensor<double, 4>("image", {1, 3, 20, 20});
  // Pillow's bicubic of bytes from 40×30 to 29×22, cut at (4, 1), ImageNet's mean and deviation.
  const std::vector<std::tuple<Index, Index, Index, double>> expected{
      {0, 0, 0, -0.42255330079630093}, {0, 7, 13, 0.2795616063019097},  {0, 19, 19, -1.1589177155578387},
      {1, 0, 19, 0.9754901960784315},  {1, 11, 4, 0.9754901960784315},  {1, 19, 0, 1.8158263305322129},
      {2, 3, 3, 1.472244008714597},    {2, 10, 17, 1.3153812636165574}, {2, 19, 19, 1.350239651416122}};
  for (const auto& [c, y, x, value] : expected) REQUIRE(std::abs(image(Index(0), c, y, x) - value) < 1e-5);
}

TEST_CASE("lion_vision prints the five best classes with scores that are a softmax") {
  write_picture();
  std::ofstream("examples-vision-classes.txt") << "zero\none\ntwo\nthree\nfour\nfive\nsix\n";
  const Ran ran = run({"--weights", kGolden + "decay.weights.safetensors", "--image", kPicture, "--output", kOutput,
                       "--classes", "examples-vision-classes.txt"});
  REQUIRE(ran.code == 0);
  const std::vector<double> logits = SafetensorsFile::open(kOutput).read_values<double>("logits");
  const auto best = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  double sum = 0;
  for (double x : logits) sum += std::exp(x - logits[best]);
  const std::vector<std::string> names{"zero", "one", "two", "three", "four", "five", "six"};
  char score[32];
  std::snprintf(score, sizeof score, "%.2f %%", 100 / sum);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < ran.out.size(); at = ran.out.find('\n', at) + 1) {
    lines.push_back(ran.out.substr(at, ran.out.find('\n', at) - at));
  }
  REQUIRE(lines.size() == 7);  // header, rule, five classes
  REQUIRE(lines[2].starts_with(std::to_string(best)));
  REQUIRE(lines[2].find(names[best]) != std::string::npos);
  REQUIRE(lines[2].ends_with(score));

  std::ofstream("examples-vision-classes.txt") << "zero\n";
  require_refused({"--weights", kGolden + "decay.weights.safetensors", "--image", kPicture, "--classes",
                   "examples-vision-classes.txt"},
                  "classes: examples-vision-classes.txt has 1 lines, expected one for each of 7 classes");
}

TEST_CASE("lion_vision takes the configuration from flags where the metadata has none, and mean and crop from it") {
  const auto golden = SafetensorsFile::open(kGolden + "decay.weights.safetensors");
  const std::string bare = "examples-vision-bare.safetensors";
  const auto write = [&](const std::map<std::string, std::string>& metadata) {
    SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
    for (const auto& tensor : golden.tensors()) writer.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
    writer.write(bare);
  };
  write({});
  require_refused({"--weights", bare, "--image", kPicture}, "vision: image_size is missing from the metadata");
  const std::string input = kGolden + "decay.expected.safetensors";
  const Ran ran = run({"--weights",     bare, "--input",     input,   "--output",    kOutput, "--image-size", "20",
                       "--patch-size",  "4",  "--embed-dim", "24",    "--num-heads", "3",     "--depth",      "2",
                       "--num-classes", "7",  "--mask-type", "decay", "--cls-tok",   "False", "--pos-emb",    "False"});
  REQUIRE(ran.err == "");
  REQUIRE(ran.code == 0);
  REQUIRE(error(SafetensorsFile::open(kOutput), SafetensorsFile::open(input), "logits") < 1e-5);

  std::map<std::string, std::string> metadata(golden.metadata().begin(), golden.metadata().end());
  metadata["mean"] = "[0.25, 0.5, 0.75]";
  metadata["std"] = "0.5";
  metadata["crop_pct"] = "1.0";
  write(metadata);
  std::ofstream(kPicture, std::ios::binary) << "P5\n20 20\n255\n" << std::string(400, '\x33');  // grey of 0.2
  REQUIRE(run({"--weights", bare, "--image", kPicture, "--output", kOutput}).code == 0);
  const auto image = SafetensorsFile::open(kOutput).read_tensor<double, 4>("image", {1, 3, 20, 20});
  for (Index i = 0; i < 400; ++i) {
    REQUIRE(image.data()[i] == Approx(-0.1));
    REQUIRE(image.data()[400 + i] == Approx(-0.6));
    REQUIRE(image.data()[800 + i] == Approx(-1.1));
  }
  metadata["mean"] = "0.1, 0.2";
  write(metadata);
  require_refused({"--weights", bare, "--image", kPicture},
                  "preprocess: mean is '0.1, 0.2', expected 3 finite numbers");
}

TEST_CASE("lion_vision says what is wrong and writes nothing") {
  const std::string weights = kGolden + "decay.weights.safetensors", input = kGolden + "decay.expected.safetensors";
  require_refused({}, "--weights is required");
  require_refused({"--weights", weights}, "expected one of --image and --input");
  require_refused({"--weights", weights, "--image", "a", "--input", "b"}, "expected one of --image and --input");
  require_refused({"--weights", weights, "--input", input}, "--input needs --output");
  require_refused({"--weights", weights, "--image", kPicture, "--backward"}, "--backward needs --input");
  require_refused({"--weights", "no-such-file", "--image", kPicture}, "open: no-such-file: No such file or directory");
  require_refused({"--weights", weights, "--image", "no-such-file"}, "image: no-such-file: No such file or directory");
  require_refused({"--weights", weights, "--image", weights},
                  "image: " + weights + " is no PNG, JPEG, PPM or PGM image that can be decoded: unknown image type");
  require_refused({"--weights", weights, "--image", kPicture, "--form", "fast"},
                  "vision: form is 'fast', expected one of full, rnn, chunk, auto");
  require_refused({"--weights", weights, "--image", kPicture, "--chunk-size", "0"},
                  "vision: chunk_size is 0, expected at least 1");
  require_refused({"--weights", weights, "--image", kPicture, "--num-classes", "8"},
                  "load_parameters: " + weights +
                      ": misshapen tensors: 'head.bias' has shape [7], expected [8], 'head.weight' has shape [7,24], "
                      "expected [8,24]");
  require_refused({"--weights", kGolden + "softmax-distilled.weights.safetensors", "--input",
                   kGolden + "softmax.expected.safetensors", "--output", kOutput, "--backward"},
                  "safetensors: " + kGolden + "softmax.expected.safetensors: has no tensor 'teacher_label'");
  require_refused({"--weights", weights, "--input", weights, "--output", kOutput},
                  "safetensors: " + weights + ": has no tensor 'image'");
}

namespace {

const std::string kData = "examples-vision-images";

/// Twelve pictures of a folder's class: red with `red` of 255, some noise.
void write_class(const std::string& folder, int red) {
  std::filesystem::create_directories(folder);
  for (int n = 0; n < 12; ++n) {
    std::ofstream file(folder + "/" + std::to_string(n) + ".ppm", std::ios::binary);
    file << "P6\n10 9\n255\n";
    for (int i = 0; i < 90; ++i) {
      for (int value : {red, (i * 7 + n * 29) % 256, (i * n) % 256}) file.put(static_cast<char>(value));
    }
  }
}

/// A small model, where `more` does not say otherwise.
std::vector<std::string> training(std::vector<std::string> more) {
  const std::vector<std::pair<std::string, std::string>> defaults{
      {"--data", kData + "/train"}, {"--batch", "5"},      {"--epochs", "6"},
      {"--learning-rate", "0.01"},  {"--warmup", "1"},     {"--seed", "3"},
      {"--image-size", "8"},        {"--patch-size", "4"}, {"--embed-dim", "16"},
      {"--num-heads", "2"},         {"--depth", "1"},      {"--threads", "1"}};
  for (const auto& [flag, value] : defaults) {
    if (std::find(more.begin(), more.end(), flag) == more.end()) more.insert(more.end(), {flag, value});
  }
  more.insert(more.begin(), "train");
  return more;
}

/// The lines that begin with "epoch ".
std::vector<std::string> epochs(const Ran& ran) {
  std::vector<std::string> lines;
  std::istringstream out(ran.out);
  for (std::string line; std::getline(out, line);) {
    if (line.starts_with("epoch ")) lines.push_back(line);
  }
  return lines;
}

}  // namespace

TEST_CASE("lion_vision train learns a folder of images, and goes on where it stopped") {
  std::filesystem::remove_all(kData);
  for (const std::string part : {"/train", "/validation"}) {
    write_class(kData + part + "/blood", 230);
    write_class(kData + part + "/sea", 20);
  }
  const std::string straight = kData + "/straight.safetensors", stopped = kData + "/stopped.safetensors";
  const auto plain = [](const std::string& save, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--augment", "none", "--clip", "1", "--drop-path", "0.1", "--save", save, "--validation",
                             kData + "/validation"});
    return run(training(std::move(more)));
  };
  const Ran ran = plain(straight);
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  REQUIRE(ran.out.starts_with("24 images of 2 classes; 6 epochs of 4 steps, 0 of 24 taken\n"));
  const std::vector<std::string> all = epochs(ran);
  REQUIRE(all.size() == 6);
  REQUIRE(all.back().starts_with("epoch 6  loss "));
  REQUIRE(all.back().ends_with("  validation 100.00 %"));

  REQUIRE(plain(stopped, {"--stop-after", "2", "--workers", "0"}).code == 0);
  REQUIRE(SafetensorsFile::open(stopped).metadata("optimiser.steps") == "8");
  REQUIRE(plain(stopped).err ==
          "lion_vision train: --save is " + stopped + ", which is there: add --resume to go on with it\n");
  const Ran resumed = plain(stopped, {"--resume", "--stop-after", "4611686018427387904"});  // more than there are
  REQUIRE(resumed.code == 0);
  REQUIRE(epochs(resumed) == std::vector<std::string>(all.begin() + 2, all.end()));
  REQUIRE(read_text(stopped) == read_text(straight));
  REQUIRE(plain(stopped, {"--resume", "--label-smoothing", "0.2"})
              .err.ends_with("settings that differ: 'train_label_smoothing' is '0.1', expected '0.2'\n"));

  // Another file among the images, or one of another name, makes another run.
  const std::string sea = kData + "/train/sea/";
  std::filesystem::rename(sea + "3.ppm", sea + "30.ppm");
  REQUIRE(plain(stopped, {"--resume"}).err.find("settings that differ: 'train_files' is '") != std::string::npos);
  std::filesystem::rename(sea + "30.ppm", sea + "3.ppm");
  REQUIRE(plain(stopped, {"--resume"}).code == 0);

  // The checkpoint is a weights file: it tells a picture's class, if the model is of its depth.
  const Ran seen = run({"--weights", straight, "--image", kData + "/validation/sea/7.ppm"});
  REQUIRE(seen.err == "");
  REQUIRE(seen.out.find("\n1 ") < seen.out.find("\n0 "));
  const std::string deep = kData + "/deep.safetensors";
  REQUIRE(run(training({"--save", deep, "--stop-after", "1", "--augment", "none", "--depth", "2"})).code == 0);
  const Ran deeper = run({"--weights", deep, "--image", kData + "/validation/sea/7.ppm", "--depth", "1"});
  REQUIRE(deeper.code == 1);
  REQUIRE(deeper.err.starts_with("lion_vision: load_parameters: " + deep + ": unexpected tensors: 'blocks.1."));
  REQUIRE(deeper.err.find("optimiser.") == std::string::npos);

  // DeiT's augmentation and mixed targets.
  const Ran mixed = run(training({"--save", kData + "/mixed.safetensors", "--stop-after", "1"}));
  INFO(mixed.err);
  REQUIRE(mixed.code == 0);
  REQUIRE(epochs(mixed).size() == 1);
}

TEST_CASE("lion_vision train shows a small model the whole of pictures of another size") {
  std::filesystem::remove_all(kData);
  // 180 × 148, a red band above a blue one, or below it: windows of 8 × 8 do not tell which.
  for (const std::string part : {"/train", "/validation"}) {
    for (const bool above : {false, true}) {
      const int red = above ? 8 : 78, blue = 86 - red;
      const std::string folder = kData + part + (above ? "/above" : "/below");
      std::filesystem::create_directories(folder);
      for (int n = 0; n < 12; ++n) {
        std::ofstream file(folder + "/" + std::to_string(n) + ".ppm", std::ios::binary);
        file << "P6\n180 148\n255\n";
        for (int y = 0; y < 148; ++y) {
          for (int x = 0; x < 180; ++x) {
            for (int value : {y >= red && y < red + 62 ? 230 : 20, 20 + 3 * n, y >= blue && y < blue + 62 ? 230 : 20}) {
              file.put(static_cast<char>(value));
            }
          }
        }
      }
    }
  }
  const Ran large = run(training({"--save", kData + "/large.safetensors", "--validation", kData + "/validation",
                                  "--pos-emb", "True", "--epochs", "100", "--learning-rate", "0.003"}));
  INFO(large.err);
  REQUIRE(large.code == 0);
  INFO(large.out);
  const std::string last = epochs(large).back(), before = "validation ";
  REQUIRE(std::stod(last.substr(last.find(before) + before.size())) > 90);

  write_class(kData + "/tiny/blood", 230);  // 10 × 9 pixels
  const Ran tiny = run(training(
      {"--data", kData + "/tiny", "--save", kData + "/tiny.safetensors", "--stop-after", "1", "--image-size", "32"}));
  INFO(tiny.err);
  REQUIRE(tiny.code == 0);
  REQUIRE(epochs(tiny).size() == 1);
}

TEST_CASE("lion_vision train says what is wrong") {
  std::filesystem::remove_all(kData);
  write_class(kData + "/train/blood", 230);
  write_class(kData + "/other/sea", 20);
  const auto refused = [](std::vector<std::string> more, const std::string& message) {
    const std::string save = kData + "/none.safetensors";
    more.insert(more.end(), {"--save", save});
    const Ran ran = run(training(std::move(more)));
    REQUIRE(ran.err == "lion_vision train: " + message + "\n");
    REQUIRE(ran.code == 1);
    REQUIRE(!std::filesystem::exists(save));
  };
  refused({"--epochs", "0"}, "--epochs is 0, expected at least 1");
  refused({"--clip", "-1"}, "--clip is -1, expected a finite value of at least 0");
  refused({"--label-smoothing", "2"}, "--label-smoothing is 2, expected a value in [0, 1]");
  refused({"--augment", "all"}, "--augment is 'all', expected deit or none");
  refused({"--augment", "deit", "--in-chans", "1"}, "--augment is deit, expected none for images of one channel");
  refused({"--size", "huge"}, "--size is 'huge', expected tiny, small, base, hydra or vim");
  refused({"--distilled", "True"}, "--distilled is True, expected False: there is no teacher here");
  refused({"--workers", "-1"}, "--workers is -1, expected at least 0");
  refused({"--batch", "13"}, "Batches: batch is 13, expected a value in [1, 12]");
  refused({"--validation", kData + "/other"},
          "--validation is " + kData + "/other, which has other classes than " + kData + "/train");
  refused({"--learning-rate", "1e38"}, "the loss of step 2 is not finite: nothing is saved since the last whole epoch");
  refused({"--epochs", "20", "--batch", "12", "--warmup", "0", "--learning-rate", "1e39", "--weight-decay", "1000"},
          "the weights after step 1 are not finite: nothing is saved since the last whole epoch");
  refused({"--epochs", "9223372036854775807"},
          "--epochs is 9223372036854775807, expected at most 4611686018427387903 of 2 steps");
#ifdef LION_EXAMPLES_CUDA
  refused({"--device", "cuda", "--dtype", "float16"}, "--dtype is 'float16', expected float32 or bfloat16");
#else
  refused({"--device", "cuda"}, "--device cuda is not in this build, configure it with -DLION_CUDA=ON");
#endif
}
