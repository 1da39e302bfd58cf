/// Fills in the [MASK]s of a text, or computes the logits, loss and gradients of a batch from a file.

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/candidates.hpp"
#include "common/device.hpp"
#include "common/program.hpp"
#include "lion/io/bert.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "lion/model/masked_language.hpp"
#include "lion/text/tokenizer.hpp"
#include "lion/train/cross_entropy.hpp"
#include "lion_mlm/on_gpu.hpp"

namespace lion::examples {
namespace {

constexpr Index kNotPredicted = -100;  // the label of Hugging Face's data collators

struct Options {
  std::string weights, vocab, text, input, output, pack;
  std::map<std::string, std::string> config;  ///< keys of the metadata that flags replace
  bool cased = false, backward = false;
  Index top = 5, threads = 0;
  Device device;
};

/// A batch from a file.
struct Batch {
  Tensor<Index, 2> ids, labels, types;
  Tensor<bool, 2> key_mask;
  std::vector<Index> cuts, seen, predicted, targets;  ///< numbers of tokens that are no padding; with a label; these

  Batch(const io::SafetensorsFile& file, bool labelled) : ids(file.read_tensor<Index, 2>("input_ids")) {
    const Shape<2>& shape = ids.shape();
    if (file.contains("attention_mask")) {  // whole numbers, as tokenisers give them, or bools
      const auto numbers = file.read_tensor<Index, 2>("attention_mask", shape);
      key_mask = Tensor<bool, 2>(shape);
      for (Index t = 0; t < ids.size(); ++t) key_mask.data()[t] = numbers.data()[t] != 0;
    }
    if (file.contains("token_type_ids")) types = file.read_tensor<Index, 2>("token_type_ids", shape);
    if (file.contains("cu_seqlens")) cuts = file.read_values<Index>("cu_seqlens");
    if (labelled) labels = file.read_tensor<Index, 2>("labels", shape);
    for (Index t = 0; t < ids.size(); ++t) {
      if (key_mask.size() == 0 || key_mask.data()[t]) seen.push_back(t);
      if (!labelled || labels.data()[t] == kNotPredicted) continue;
      predicted.push_back(t);
      targets.push_back(labels.data()[t]);
    }
    if (labelled && predicted.empty()) throw ArgumentError("labels are all -100, expected one to predict");
  }

  model::TextInputs text() const { return {ids, key_mask, cuts, types}; }
};

/// logits [R,V] of the rows of a text, on the device that was asked for.
void infer(const Options& options, model::MaskedLanguage<float>& model, const model::TextInputs& text,
           const std::vector<Index>& rows, Tensor<float, 2>& logits, ThreadPool& pool) {
  if (!options.device.cuda()) return model.forward(text, rows, logits.view(), pool);
#ifdef LION_EXAMPLES_CUDA
  visit_dtype(options.device, [&]<class T>(T) { forward_on_gpu<T>(model, text, rows, logits.view()); });
#endif
}

/// Logits of every token that is no padding and, if asked for, the loss and every gradient.
void run_batch(const Options& options, model::MaskedLanguage<float>& model, ThreadPool& pool) {
  const Batch batch(io::SafetensorsFile::open(options.input), options.backward);
  const Index vocabulary = model.config().vocab_size;
  io::SafetensorsWriter writer;
  Tensor<float, 2> logits({static_cast<Index>(batch.seen.size()), vocabulary});
  infer(options, model, batch.text(), batch.seen, logits, pool);
  writer.add("logits", logits);
  double loss = 0;
  if (options.backward) {
    Tensor<float, 2> predicted({static_cast<Index>(batch.predicted.size()), vocabulary}), dlogits(predicted.shape());
    model.zero_grad();
    model.forward_train(batch.text(), batch.predicted, predicted.view(), pool);
    loss = train::cross_entropy<float>(predicted.view(), batch.targets, dlogits.view());
    model.backward(dlogits.view(), pool);
    writer.add("loss", io::Dtype::kF64, {1}, std::as_bytes(std::span(&loss, 1)));
    for (const nn::Parameter<float>* p : model.parameters()) {
      writer.add("grad." + p->name, io::Dtype::kF32, p->shape,
                 std::as_bytes(std::span(p->grad.data(), static_cast<std::size_t>(p->size()))));
    }
  }
  writer.write(options.output);
}

/// The best tokens for each [MASK] of the text.
void fill_masks(const Options& options, const text::Tokenizer& tokenizer, model::MaskedLanguage<float>& model,
                ThreadPool& pool) {
  const text::Vocabulary& vocabulary = tokenizer.vocabulary();
  const text::Encoding encoding = tokenizer.encode(options.text);
  const std::vector<Index> masks = mask_positions(encoding.ids, vocabulary);
  if (masks.empty()) throw ArgumentError("--text has no " + vocabulary.special().mask + ", expected at least one");
  Tensor<float, 2> logits({static_cast<Index>(masks.size()), model.config().vocab_size});
  infer(options, model, {View<const Index, 2>(encoding.ids.data(), {1, encoding.size()})}, masks, logits, pool);
  if (!options.output.empty()) {
    io::SafetensorsWriter writer;
    writer.add("input_ids", io::Dtype::kI64, {1, encoding.size()}, std::as_bytes(std::span(encoding.ids)));
    writer.add("logits", logits);
    writer.write(options.output);
  }
  print_candidates(logits, vocabulary, options.top, std::cout);
}

void run_program(const Options& options) {
  check_threads(options.threads);
  if (options.text.empty() == options.input.empty()) throw ArgumentError("expected one of --text and --input");
  if (!options.text.empty() && options.vocab.empty()) throw ArgumentError("--text needs --vocab");
  if (!options.input.empty() && options.output.empty()) throw ArgumentError("--input needs --output");
  if (options.backward && options.input.empty()) throw ArgumentError("--backward needs --input");
  if (options.top < 1) throw ArgumentError("--top is " + std::to_string(options.top) + ", expected at least 1");

  check_device(options.device, options.backward ? "--backward" : options.pack.empty() ? "" : "--pack");

  const auto file = io::SafetensorsFile::open(options.weights);
  model::Metadata given;
  for (const auto& [key, value] : options.config) {
    if (!value.empty()) given[key] = value;
  }
  model::MaskedLanguageConfig config = model::masked_language_config_from(io::bert_metadata(file, std::move(given)));
  config.hidden_dropout_prob = 0;  // gradients of the loss that is written, not of a noisy one
  model::MaskedLanguage<float> model(config, model::Initial::zero);
  io::load_bert(file, model);
  pack(model, options.pack, options.backward);
  ThreadPool pool(options.threads);
  if (!options.input.empty()) return run_batch(options, model, pool);

  text::TokenizerConfig tokenizer;
  if (options.cased) tokenizer.basic = text::BasicTokenizerConfig::cased();
  text::Vocabulary vocabulary = text::Vocabulary::load(options.vocab);
  if (vocabulary.size() > config.vocab_size) {
    throw ArgumentError("--vocab " + options.vocab + " has " + std::to_string(vocabulary.size()) +
                        " tokens, expected at most vocab_size " + std::to_string(config.vocab_size));
  }
  fill_masks(options, text::Tokenizer(std::move(vocabulary), tokenizer), model, pool);
}

}  // namespace
}  // namespace lion::examples

int main(int argc, char** argv) {
  using namespace lion::examples;
  CLI::App app(
      "Runs a masked language model (LION under any mask, or BERT) from a weights file under Hugging Face BERT names. "
      "With --text it prints the likeliest tokens for each [MASK]; with --input it writes the logits of every token "
      "of input_ids [B,L] that attention_mask [B,L] leaves and, with --backward, the mean loss of labels [B,L] "
      "(-100: not predicted) and grad.NAME of every weight. Sizes that neither the metadata nor a flag says are "
      "taken from the tensors.",
      "lion_mlm");
  Options options;
  app.add_option("--weights", options.weights, "safetensors file with the weights")->required();
  app.add_option("--text", options.text, "text with [MASK]s to fill in");
  app.add_option("--vocab", options.vocab, "with --text: vocab.txt, a WordPiece token on each line");
  app.add_flag("--cased", options.cased, "with --text: keep capitals and accents");
  app.add_option("--top", options.top, "with --text: tokens to print for each [MASK]")->capture_default_str();
  app.add_option("--input", options.input,
                 "safetensors file with input_ids [B,L] and, if wished, attention_mask and token_type_ids [B,L], or "
                 "cu_seqlens for sequences packed in one row");
  app.add_option("--output", options.output, "safetensors file to write");
  app.add_flag("--backward", options.backward, "with --input, which then also holds labels: loss and gradients");
  add_threads(app, options.threads);
  add_device(app, options.device);
  add_pack(app, options.pack);
  app.add_option("--form", options.config["form"], "full, rnn, chunk or auto [metadata, else auto]");
  app.add_option("--chunk-size", options.config["chunk_size"], "tokens in a chunk [metadata, else 64]");
  add_config(app, options.config,
             {"vocab_size", "hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size",
              "max_position_embeddings", "type_vocab_size", "mask_type", "position_embedding", "layer_norm_after",
              "layer_norm_eps", "d_state", "head_dim"},
             "The model, where neither metadata nor tensors say or are to be overruled");
  return run(app, argc, argv, [&] { run_program(options); });
}
