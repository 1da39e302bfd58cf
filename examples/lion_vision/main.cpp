/// Classifies an image, or computes the logits and gradients of a batch from a file; trains a model (train.cpp).

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "common/device.hpp"
#include "common/program.hpp"
#include "common/table.hpp"
#include "lion/image/decode.hpp"
#include "lion/image/preprocess.hpp"
#include "lion/io/model.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "lion/model/vision.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion/train/distillation.hpp"
#include "lion_vision/on_gpu.hpp"
#include "lion_vision/train.hpp"

namespace lion::examples {
namespace {

struct Options {
  std::string weights, image, input, output, classes, pack;
  std::map<std::string, std::string> config;  ///< keys of the metadata that flags replace
  bool backward = false;
  Index threads = 0;
  Device device;
};

/// The names of a checkpoint's moments and averages; of another file none.
std::vector<std::string> beside_weights(const io::SafetensorsFile& file) {
  std::vector<std::string> names;
  if (!file.metadata("checkpoint.version")) return names;
  for (const auto& tensor : file.tensors()) {
    if (tensor.name.starts_with("optimiser.") || tensor.name.starts_with("ema.")) names.push_back(tensor.name);
  }
  return names;
}

std::vector<std::string> read_classes(const std::string& path, Index count) {
  if (path.empty()) return {};
  std::ifstream file(path);
  if (!file) throw FileError("classes: cannot open " + path);
  std::vector<std::string> names;
  for (std::string line; std::getline(file, line);) names.push_back(line);
  if (static_cast<Index>(names.size()) != count) {
    throw FileError("classes: " + path + " has " + std::to_string(names.size()) + " lines, expected one for each of " +
                    std::to_string(count) + " classes");
  }
  return names;
}

void print_top(View<const float, 2> logits, const std::vector<std::string>& names) {
  std::vector<Index> order(static_cast<std::size_t>(logits.extent(1)));
  std::iota(order.begin(), order.end(), Index(0));
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return logits(0, a) > logits(0, b); });
  double sum = 0;
  const auto weight = [&](Index k) { return std::exp(static_cast<double>(logits(0, k) - logits(0, order.front()))); };
  for (Index k : order) sum += weight(k);
  order.resize((std::min)(order.size(), std::size_t{5}));
  Table table(names.empty() ? std::vector<std::string>{"class", "score"}
                            : std::vector<std::string>{"class", "name", "score"});
  for (Index k : order) {
    std::vector<std::string> row{std::to_string(k)};
    if (!names.empty()) row.push_back(names[static_cast<std::size_t>(k)]);
    row.push_back(format("%.2f %%", 100 * weight(k) / sum));
    table.add(std::move(row));
  }
  table.print(std::cout);
}

/// The loss of a batch, with its gradient added to every weight's: the cross-entropy of `label` or, of a distilled
/// model, half of it and half that of `teacher_label`. logits [B,K] as the model's answer.
double backward(model::Vision<float>& model, const io::SafetensorsFile& input, View<const float, 4> image,
                View<float, 2> logits, Executor executor) {
  const auto labels = [&](const char* name) {
    const auto read = input.read_tensor<Index, 1>(name, {image.extent(0)});
    return std::vector<Index>(read.data(), read.data() + read.size());
  };
  const std::vector<Index> label = labels("label");
  model.zero_grad();
  if (!model.config().distilled) {
    Tensor<float, 2> dlogits(logits.shape());
    model.forward_train(image, logits, executor);
    const double loss = train::cross_entropy<float>(logits, label, dlogits.view());
    model.backward(dlogits.view(), executor);
    return loss;
  }
  const std::vector<Index> teacher_label = labels("teacher_label");
  Tensor<float, 3> heads({2, logits.extent(0), logits.extent(1)}), dheads(heads.shape());
  model.forward_train(image, heads.view(), executor);
  const double loss = train::hard_distillation<float>(heads.view(), label, teacher_label, dheads.view());
  model.backward(dheads.view(), executor);
  for (Index b = 0; b < logits.extent(0); ++b) {
    for (Index k = 0; k < logits.extent(1); ++k) logits(b, k) = (heads(0, b, k) + heads(1, b, k)) / 2;
  }
  return loss;
}

/// logits [B,K] of images, on the device that was asked for.
void infer(const Options& options, model::Vision<float>& model, const Tensor<float, 4>& images,
           Tensor<float, 2>& logits, Executor executor) {
  if (!options.device.cuda()) return model.forward(images.view(), logits.view(), executor);
#ifdef LION_EXAMPLES_CUDA
  visit_dtype(options.device, [&]<class T>(T) { forward_on_gpu<T>(model, images.view(), logits.view()); });
#endif
}

void run_program(const Options& options) {
  check_threads(options.threads);
  if (options.image.empty() == options.input.empty()) {
    throw ArgumentError("expected one of --image and --input");
  }
  if (!options.input.empty() && options.output.empty()) throw ArgumentError("--input needs --output");
  if (options.backward && options.input.empty()) throw ArgumentError("--backward needs --input");

  check_device(options.device, options.backward ? "--backward" : options.pack.empty() ? "" : "--pack");

  const auto file = io::SafetensorsFile::open(options.weights);
  io::Metadata metadata = file.metadata();
  for (const auto& [key, value] : options.config) {
    if (!value.empty()) metadata[key] = value;
  }
  model::Vision<float> model(model::vision_config_from(metadata), model::Initial::zero);
  const model::VisionConfig& config = model.config();
  io::load_weights(file, model, {.ignored = beside_weights(file)});
  pack(model, options.pack, options.backward);
  ThreadPool pool(options.threads);

  if (!options.image.empty()) {
    if (config.in_chans != 1 && config.in_chans != 3) {
      throw ArgumentError("in_chans is " + std::to_string(config.in_chans) + ", expected 1 or 3 to read an image");
    }
    const image::Preprocessing preprocess = image::preprocessing_from(metadata, config.in_chans);
    const std::vector<std::string> names = read_classes(options.classes, config.num_classes);
    Tensor<float, 4> image({1, config.in_chans, config.image_size, config.image_size});
    preprocess(image::read_image(options.image, config.in_chans),
               View<float, 3>(image.data(), {config.in_chans, config.image_size, config.image_size}));
    Tensor<float, 2> logits({1, config.num_classes});
    infer(options, model, image, logits, pool);
    if (!options.output.empty()) {
      io::SafetensorsWriter writer;
      writer.add("image", image);
      writer.add("logits", logits);
      writer.write(options.output);
    }
    print_top(logits.view(), names);
    return;
  }

  const auto input = io::SafetensorsFile::open(options.input);
  const auto image = input.read_tensor<float, 4>("image", {-1, config.in_chans, -1, -1});
  Tensor<float, 2> logits({image.extent(0), config.num_classes});
  io::SafetensorsWriter writer;
  double loss = 0;
  if (options.backward) {
    loss = backward(model, input, image.view(), logits.view(), pool);
    writer.add("loss", io::Dtype::kF64, {1}, std::as_bytes(std::span(&loss, 1)));
    for (const nn::Parameter<float>* p : model.parameters()) {
      writer.add("grad." + p->name, io::Dtype::kF32, p->shape,
                 std::as_bytes(std::span(p->grad.data(), static_cast<std::size_t>(p->size()))));
    }
  } else {
    infer(options, model, image, logits, pool);
  }
  writer.add("logits", logits);
  writer.write(options.output);
}

}  // namespace
}  // namespace lion::examples

int main(int argc, char** argv) {
  using namespace lion::examples;
  if (argc > 1 && std::string_view(argv[1]) == "train") return train_command(argc - 1, argv + 1);
  CLI::App app(
      "Runs a vision model (LION under any mask, or a softmax ViT, distilled or not; Hydra; Vim) from a weights file "
      "under the names of timm/DeiT or of Hydra's and Vim's authors. With --image it prints the top 5 classes; with "
      "--input it writes the logits of the tensor "
      "image [B,channels,height,width] and, with --backward, the loss of label [B], if distilled by half with that of "
      "teacher_label [B], and grad.NAME of every weight. "
      "Size, crop, mean and deviation of images come from the weights' metadata, else they are ImageNet's. "
      "lion_vision train, a command with flags of its own, trains one.",
      "lion_vision");
  Options options;
  app.add_option("--weights", options.weights, "safetensors file with the weights")->required();
  app.add_option("--image", options.image, "PNG, JPEG, PPM or PGM file to classify");
  app.add_option("--input", options.input, "safetensors file with image [B,channels,height,width]");
  app.add_option("--output", options.output, "safetensors file to write");
  app.add_option("--classes", options.classes, "file with the name of a class on each line");
  app.add_flag("--backward", options.backward, "with --input, which then also holds the labels: the gradients");
  add_threads(app, options.threads);
  add_device(app, options.device);
  add_pack(app, options.pack);
  app.add_option("--form", options.config["form"], "full, rnn, chunk or auto [metadata, else auto]");
  app.add_option("--chunk-size", options.config["chunk_size"], "tokens in a chunk [metadata, else 64]");
  add_config(app, options.config,
             {"kind", "image_size", "patch_size", "in_chans", "embed_dim", "num_heads", "depth", "num_classes",
              "mask_type", "order", "pos_emb", "cls_tok", "distilled", "mlp_ratio", "d_state", "head_dim"},
             "The model, where the metadata does not say or is to be overruled");
  return run(app, argc, argv, [&] { run_program(options); });
}
