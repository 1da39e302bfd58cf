#pragma once
/// A training run on disk: stopped at any moment, it goes on as if it had not been.

#include <algorithm>
#include <charconv>
#include <concepts>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "lion/core/atomic_file.hpp"
#include "lion/io/checksum.hpp"
#include "lion/io/model.hpp"

namespace lion::io {

/// What a checkpoint says beside weights and optimiser.
struct CheckpointNotes {
  Metadata settings{};  ///< what makes the run: the model's configuration (model::to_metadata), seed, batch size, …
  Metadata progress{};  ///< where it is: the number of steps taken, whatever the loop wants back
};

namespace detail {

inline constexpr std::string_view kVersionKey = "checkpoint.version", kChecksumKey = "checkpoint.checksum";

/// Keys that no setting may begin with.
inline constexpr std::string_view kReserved[] = {"checkpoint.", "optimiser.", "progress.", "ema."};

inline std::string number_text(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);  // shortest that reads back the same
}

/// The settings of the caller, and those of the optimiser and of the numbers.
template <class T, class Optimiser>
Metadata all_settings(const Metadata& settings, const Optimiser& optimiser) {
  for (const auto& [key, value] : settings) {
    for (const std::string_view reserved : kReserved) {
      if (!key.starts_with(reserved)) continue;
      throw ArgumentError("checkpoint: setting " + in_quotes(key) + " begins with '" + std::string(reserved) +
                          "', which is reserved");
    }
  }
  Metadata all = settings;
  all["optimiser.kind"] = Optimiser::kName;
  optimiser.options().for_each(
      [&](const char* name, double value) { all[std::string("optimiser.") + name] = number_text(value); });
  all["checkpoint.dtype"] = name_of(dtype_of<T>());
  return all;
}

/// The place of a moving average where a run has none.
struct NoEma {};

template <class Ema>
struct EmaStateOf : std::remove_cvref_t<decltype(std::declval<const Ema&>().state())> {};
template <>
struct EmaStateOf<NoEma> {};

/// The averages under the weights' names: double whatever the weights are.
template <class Value, class Ema, class State>
std::vector<TensorSlot<Value>> ema_slots(const Ema& ema, State& state) {
  std::vector<TensorSlot<Value>> slots;
  for (std::size_t i = 0; i < state.averages.size(); ++i) {
    const auto* p = ema.parameters()[i];
    slots.push_back({"ema." + p->name, p->shape, state.averages[i].data()});
  }
  return slots;
}

template <class T>
TensorInfo tensor_of(const TensorSlot<T>& slot) {
  using Value = std::remove_const_t<T>;
  const auto bytes = std::as_bytes(std::span<const Value>(slot.data, static_cast<std::size_t>(count_of(slot.shape))));
  return {slot.name, dtype_of<Value>(), slot.shape, bytes};
}

/// The number of steps under a key, at least 0.
inline bool read_count(const SafetensorsFile& file, const char* key, Index& count) {
  const std::string text = file.metadata(key).value_or("");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  return error == std::errc() && end == text.data() + text.size() && count >= 0;
}

/// Weights, then the optimiser's moments under the weights' names.
template <class T, class Model, class Optimiser, class State>
std::vector<TensorSlot<T>> checkpoint_slots(Model& model, const Optimiser& optimiser, State& state) {
  std::vector<TensorSlot<T>> slots = slots_of<T>(model.parameters());
  const auto& parameters = optimiser.parameters();
  for (auto [name, moments] :
       {std::pair("optimiser.first.", &state.first), std::pair("optimiser.second.", &state.second)}) {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      slots.push_back({name + parameters[i]->name, parameters[i]->shape, (*moments)[i].data()});
    }
  }
  return slots;
}

/// Of all that a checkpoint holds, the entry of the checksum apart.
inline std::string checksum_of(const Metadata& metadata, std::span<const TensorInfo> tensors) {
  Checksum sum;
  for (const auto& [key, value] : metadata) {
    if (key == kChecksumKey) continue;
    sum.add(key);
    sum.add(value);
  }
  std::vector<const TensorInfo*> by_name;  // a writer may lay tensors out in another order
  for (const TensorInfo& tensor : tensors) by_name.push_back(&tensor);
  std::sort(by_name.begin(), by_name.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const TensorInfo* tensor : by_name) {
    sum.add(tensor->name);
    sum.add(name_of(tensor->dtype));
    sum.add(to_string(tensor->shape));
    sum.add(tensor->bytes);
  }
  return sum.text();
}

/// "settings that differ: 'seed' is '1', expected '2'"; nothing if all are equal.
inline std::string setting_mismatches(const Metadata& found, const Metadata& expected) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : expected) {
    const auto at = found.find(key);
    if (at == found.end()) {
      lines.push_back(in_quotes(key) + " is missing, expected " + in_quotes(value));
    } else if (at->second != value) {
      lines.push_back(in_quotes(key) + " is " + in_quotes(at->second) + ", expected " + in_quotes(value));
    }
  }
  for (const auto& [key, value] : found) {
    if (!expected.contains(key)) lines.push_back(in_quotes(key) + " is " + in_quotes(value) + ", expected none");
  }
  std::string message;
  append_list(message, "settings that differ", std::move(lines));
  return message;
}

}  // namespace detail

/// Writes the weights of a model, the state of its optimiser (a train::AdamW or anything with its members), the moving
/// average of its weights if there is one (a train::Ema) and the notes to one file, in place of the checkpoint that was
/// there. That one stays until the new is whole and on disk: whenever the process is killed or the machine stops, the
/// file is one or the other. What killed processes left beside it is removed. The file is safetensors, the weights
/// under their own names and the settings under their own keys, so `load_weights` reads it (with allow_unexpected).
/// Throws FileError if it cannot be written, ArgumentError for a setting under a reserved key, two weights of one name,
/// text that is not UTF-8, and averages that stand in the weights' place.
template <class Model, class Optimiser, class Ema = detail::NoEma>
void save_checkpoint(const std::filesystem::path& path, const Model& model, const Optimiser& optimiser,
                     const CheckpointNotes& notes, const Ema* ema = nullptr) {
  using T = std::remove_pointer_t<decltype(model.parameters().front()->value.data())>;
  using Value = std::remove_const_t<T>;
  Metadata metadata = detail::all_settings<Value>(notes.settings, optimiser);
  for (const auto& [key, value] : notes.progress) metadata["progress." + key] = value;
  metadata["optimiser.steps"] = std::to_string(optimiser.state().steps);
  metadata[std::string(detail::kVersionKey)] = "1";

  std::vector<TensorInfo> tensors;
  for (const TensorSlot<T>& slot : detail::checkpoint_slots<T>(model, optimiser, optimiser.state())) {
    tensors.push_back(detail::tensor_of(slot));
  }
  if constexpr (!std::same_as<Ema, detail::NoEma>) {
    if (ema && ema->swapped()) throw ArgumentError("checkpoint: the model has its averages, expected its weights");
    if (ema) {
      metadata["ema.updates"] = std::to_string(ema->state().updates);
      for (const auto& slot : detail::ema_slots<const double>(*ema, ema->state())) {
        tensors.push_back(detail::tensor_of(slot));
      }
    }
  }
  metadata[std::string(detail::kChecksumKey)] = detail::checksum_of(metadata, tensors);
  SafetensorsWriter writer;
  for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
  for (const TensorInfo& tensor : tensors) writer.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
  remove_abandoned_files(path);
  writer.write(path);
}

/// Takes up a run where `save_checkpoint` left it: fills the weights and restores the optimiser, and returns the
/// progress that was noted. Steps taken from here on have the same bits as if the run had not stopped, if whatever else
/// they depend on follows from the settings and the progress, as the draws of this library do.
///
/// Throws one FileError, and changes nothing, if the file is damaged (every byte is checked), is no checkpoint, or is
/// of another run: then the error lists every setting, weight, moment and average that differs, the optimiser's options
/// and the type of the numbers among them.
template <class Model, class Optimiser, class Ema = detail::NoEma>
Metadata load_checkpoint(const std::filesystem::path& path, Model& model, Optimiser& optimiser,
                         const Metadata& settings, Ema* ema = nullptr) {
  using T = std::remove_pointer_t<decltype(model.parameters().front()->value.data())>;
  const Metadata expected = detail::all_settings<T>(settings, optimiser);
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto fail = [&](const std::string& what) { throw FileError("load_checkpoint: " + file.name() + what); };
  const auto version = file.metadata(detail::kVersionKey), checksum = file.metadata(detail::kChecksumKey);
  if (!version || !checksum) fail(" is no checkpoint: its metadata has no version and checksum of one");
  if (*version != "1") fail(" is a checkpoint of version " + in_quotes(*version) + ", expected '1'");
  if (detail::checksum_of(file.metadata(), file.tensors()) != *checksum) {
    fail(" is damaged: its contents do not have the checksum that was written with them");
  }

  Metadata found, progress;
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with("progress.")) {
      progress[key.substr(9)] = value;
    } else if (key != detail::kVersionKey && key != detail::kChecksumKey && key != "optimiser.steps" &&
               key != "ema.updates") {
      found[key] = value;
    }
  }
  std::remove_cvref_t<decltype(optimiser.state())> state;
  for (const auto* p : optimiser.parameters()) {
    state.first.emplace_back(p->value.shape());
    state.second.emplace_back(p->value.shape());
  }
  if (!detail::read_count(file, "optimiser.steps", state.steps)) fail(" does not say how many steps were taken");
  const std::vector<TensorSlot<T>> slots = detail::checkpoint_slots<T>(model, optimiser, state);
  std::string differences = detail::setting_mismatches(found, expected);
  const auto differ = [&](const std::string& more) {
    if (!more.empty()) differences += (differences.empty() ? "" : "; ") + more;
  };
  LoadOptions options;
  std::vector<TensorSlot<double>> averages;
  detail::EmaStateOf<Ema> average;
  if constexpr (!std::same_as<Ema, detail::NoEma>) {
    if (ema) {
      for (const auto* p : ema->parameters()) average.averages.emplace_back(p->value.shape());
      averages = detail::ema_slots<double>(*ema, average);
      for (const TensorSlot<double>& slot : averages) options.ignored.push_back(slot.name);
      differ(parameter_mismatches(file, std::span<const TensorSlot<double>>(averages), {.allow_unexpected = true}));
      if (!detail::read_count(file, "ema.updates", average.updates)) differ("'ema.updates' is not a number of updates");
    }
  }
  differ(parameter_mismatches(file, std::span<const TensorSlot<T>>(slots), options));
  if (!differences.empty()) fail(" is of another run: " + differences);
  load_parameters(file, slots, options);
  optimiser.restore(std::move(state));
  if constexpr (!std::same_as<Ema, detail::NoEma>) {
    if (ema) {
      load_parameters(file, averages, {.allow_unexpected = true});
      ema->restore(std::move(average));
    }
  }
  return progress;
}

}  // namespace lion::io
