#pragma once
/// BERT checkpoints, of LION and of plain BERT, as they are spread: names from TensorFlow's days, tensors that are
/// stored twice, heads that a model does not have.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lion/io/model.hpp"
#include "lion/model/masked_language.hpp"
#include "lion/model/sequence_classifier.hpp"

namespace lion::io {

namespace detail {

/// Where a file has the tensor `name`: under it; with gamma and beta for the weight and bias of a LayerNorm; without
/// the prefix bert., as a file of the encoder alone has it; or the decoder's bias by its other name. `name` if nowhere.
inline std::string bert_name(const SafetensorsFile& file, const std::string& name) {
  std::vector<std::string> names{name};
  const auto also = [&](std::string_view end, std::string_view instead) {
    if (name.ends_with(end)) names.push_back(name.substr(0, name.size() - end.size()).append(instead));
  };
  also("LayerNorm.weight", "LayerNorm.gamma");
  also("LayerNorm.bias", "LayerNorm.beta");
  also("cls.predictions.bias", "cls.predictions.decoder.bias");
  constexpr std::string_view kPrefix = "bert.";
  for (std::size_t i = 0, n = names.size(); i < n; ++i) {
    if (names[i].starts_with(kPrefix)) names.push_back(names[i].substr(kPrefix.size()));
  }
  for (const std::string& each : names) {
    if (file.contains(each)) return each;
  }
  return name;
}

template <class T>
std::vector<TensorSlot<T>> bert_slots(const SafetensorsFile& file, const std::vector<nn::Parameter<T>*>& parameters) {
  std::vector<TensorSlot<T>> slots = slots_of<T>(parameters);
  for (TensorSlot<T>& slot : slots) slot.name = bert_name(file, slot.name);
  return slots;
}

/// Names of the file that begin with one of these.
inline std::vector<std::string> names_beginning(const SafetensorsFile& file,
                                                const std::vector<std::string_view>& prefixes) {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : file.tensors()) {
    for (const std::string_view prefix : prefixes) {
      if (tensor.name.starts_with(prefix)) names.push_back(tensor.name);
    }
  }
  return names;
}

/// "'copy' differs from 'original'" unless the file lacks one of them or both hold the same.
template <Real T>
void append_if_untied(std::vector<std::string>& lines, const SafetensorsFile& file, const std::string& copy,
                      const std::string& original) {
  const TensorInfo *a = file.find(copy), *b = file.find(original);
  if (!a || !b || a == b) return;
  if (a->shape == b->shape) {
    if (a->dtype == b->dtype && std::ranges::equal(a->bytes, b->bytes)) return;
    const bool readable = readable_as<T>(a->dtype) && readable_as<T>(b->dtype);
    if (readable && file.read_values<T>(copy) == file.read_values<T>(original)) return;
  }
  lines.push_back(in_quotes(copy) + " differs from " + in_quotes(original));
}

/// Fills the slots, or throws one FileError with everything that is wrong.
template <Real T>
void load_bert_slots(const SafetensorsFile& file, const std::vector<TensorSlot<T>>& slots, const LoadOptions& options,
                     std::vector<std::string> untied) {
  std::string message = parameter_mismatches(file, std::span<const TensorSlot<T>>(slots), options);
  append_list(message, "tensors that are not tied", std::move(untied));
  if (!message.empty()) throw FileError("load_bert: " + file.name() + (file.name().empty() ? "" : ": ") + message);
  load_parameters(file, slots, options);
}

}  // namespace detail

/// The metadata of the text model that a file holds: what the file's own metadata and `given` (which comes first) do
/// not say is taken from the tensors. LION-LIT is told from BERT by its norm after the attention, Hydra by its mixers;
/// without decays the number of heads is that of heads 64 wide, as in every BERT.
inline model::Metadata bert_metadata(const SafetensorsFile& file, model::Metadata given = {}) {
  model::Metadata metadata = std::move(given);
  metadata.insert(file.metadata().begin(), file.metadata().end());
  const auto find = [&](const std::string& name) { return file.find(detail::bert_name(file, name)); };
  const auto say = [&](const char* key, const std::string& value) { metadata.insert({key, value}); };
  const auto say_extent = [&](const char* key, const TensorInfo* tensor, std::size_t r) {
    if (tensor && tensor->shape.size() > r) say(key, std::to_string(tensor->shape[r]));
  };
  const std::string embeddings = "bert.embeddings.", layer = "bert.encoder.layer.";
  const TensorInfo* words = find(embeddings + "word_embeddings.weight");
  say_extent("vocab_size", words, 0);
  say_extent("hidden_size", words, 1);
  say_extent("type_vocab_size", find(embeddings + "token_type_embeddings.weight"), 0);
  const TensorInfo* positions = find(embeddings + "position_embeddings.weight");
  say("position_embedding", positions ? "absolute" : "none");
  say_extent("max_position_embeddings", positions, 0);
  say_extent("intermediate_size", find(layer + "0.intermediate.dense.weight"), 0);
  const std::string mixer = layer + "0.layer.mixer.";
  const TensorInfo *rates = find(mixer + "A_log"), *mixed = find(mixer + "conv1d.bias");  // [H], [I+4N]
  const TensorInfo* normal = find(mixer + "norm.weight");                                 // [I]
  Index layers = 0;
  while (find(layer + std::to_string(layers) + (rates ? ".layer.norm.weight" : ".output.dense.weight"))) ++layers;
  if (layers > 0) say("num_hidden_layers", std::to_string(layers));
  const std::string self = layer + "0.attention.self.";
  const TensorInfo *decay = find(self + "ai"), *selective = find(self + "Wa_i.weight");
  const bool normed = find(self + "layer_norm.weight") != nullptr;
  say("mask_type", rates ? "hydra" : selective ? "selective" : decay ? "decay" : normed ? "linear" : "softmax");
  say("layer_norm_after", normed ? "True" : "False");
  say_extent("num_attention_heads", selective ? selective : decay, 0);
  say_extent("num_labels", find("classifier.weight"), 0);
  if (metadata.at("mask_type") == "hydra") {
    const auto size = [](const TensorInfo* tensor) {
      return tensor && tensor->shape.size() == 1 ? tensor->shape[0] : 0;
    };
    if (size(rates) > 0 && size(normal) > 0) say("head_dim", std::to_string(size(normal) / size(rates)));
    if (size(mixed) > size(normal)) say("d_state", std::to_string((size(mixed) - size(normal)) / 4));
  } else if (words && words->shape.size() == 2 && words->shape[1] % 64 == 0) {
    say("num_attention_heads", std::to_string(words->shape[1] / 64));
  }
  return metadata;
}

/// Fills a masked language model. The decoder's weights and bias, where the file has them, must be the word embeddings
/// and cls.predictions.bias; pooler, next-sentence head and position_ids are passed over. Throws one FileError that
/// lists everything that is missing, unexpected, misshapen, mistyped or not tied, by name, and then writes nothing.
template <Real S>
void load_bert(const SafetensorsFile& file, model::MaskedLanguage<S>& model) {
  std::vector<std::string> untied;
  detail::append_if_untied<S>(untied, file, "cls.predictions.decoder.weight",
                              detail::bert_name(file, "bert.embeddings.word_embeddings.weight"));
  detail::append_if_untied<S>(untied, file, "cls.predictions.decoder.bias", "cls.predictions.bias");
  LoadOptions options;
  options.ignored =
      detail::names_beginning(file, {"bert.pooler.", "pooler.", "cls.seq_relationship.", "bert.embeddings.position_ids",
                                     "embeddings.position_ids", "cls.predictions.decoder."});
  detail::load_bert_slots<S>(file, detail::bert_slots<S>(file, model.parameters()), options, std::move(untied));
}

/// Fills a classifier from its own file or from one of a masked language model, whose encoder it takes: pooler and
/// classifier, each whole, stay as they are where the file has nothing of them, heads of other tasks are passed over.
/// A file whose metadata says `kind` sequence_classifier must have both. Errors as above.
template <Real S>
void load_bert(const SafetensorsFile& file, model::SequenceClassifier<S>& model) {
  std::vector<TensorSlot<S>> slots = detail::bert_slots<S>(file, model.parameters());
  const bool whole = file.metadata("kind") == "sequence_classifier";
  for (const char* part : {"bert.pooler.", "classifier."}) {
    const auto of_part = [&](const TensorSlot<S>& slot) { return slot.name.starts_with(part); };
    const bool any = std::any_of(slots.begin(), slots.end(),
                                 [&](const TensorSlot<S>& slot) { return of_part(slot) && file.contains(slot.name); });
    if (!any && !whole) std::erase_if(slots, of_part);
  }
  LoadOptions options;
  options.ignored = detail::names_beginning(file, {"cls.", "bert.embeddings.position_ids", "embeddings.position_ids"});
  detail::load_bert_slots<S>(file, slots, options, {});
}

}  // namespace lion::io
