#pragma once
/// A training run on disk: stopped at any moment, it goes on as if it had not been.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

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
inline constexpr std::string_view kReserved[] = {"checkpoint.", "optimiser.", "progress."};

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
  for (const TensorInfo& tensor : tensors) {
    sum.add(tensor.name);
    sum.add(name_of(tensor.dtype));
    sum.add(to_string(tensor.shape));
    sum.add(tensor.bytes);
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

/// Writes the weights of a model, the state of its optimiser (a train::AdamW or anything with its members) and the
/// notes to one file, in place of the checkpoint that was there. That one stays until the new is whole and on disk:
/// whenever the process is killed or the machine stops, the file is one or the other. What killed processes left beside
/// it is removed. The file is safetensors, the weights under their own names and the settings under their own keys, so
/// `load_weights` reads it (with allow_unexpected). Throws FileError if it cannot be written.
template <class Model, class Optimiser>
void save_checkpoint(const std::filesystem::path& path, const Model& model, const Optimiser& optimiser,
                     const CheckpointNotes& notes) {
  using T = std::remove_pointer_t<decltype(model.parameters().front()->value.data())>;
  using Value = std::remove_const_t<T>;
  Metadata metadata = detail::all_settings<Value>(notes.settings, optimiser);
  for (const auto& [key, value] : notes.progress) metadata["progress." + key] = value;
  metadata["optimiser.steps"] = std::to_string(optimiser.state().steps);
  metadata[std::string(detail::kVersionKey)] = "1";

  std::vector<TensorInfo> tensors;
  for (const TensorSlot<T>& slot : detail::checkpoint_slots<T>(model, optimiser, optimiser.state())) {
    const auto size = static_cast<std::size_t>(detail::count_of(slot.shape));
    const auto bytes = std::as_bytes(std::span<const Value>(slot.data, size));
    tensors.push_back({slot.name, dtype_of<Value>(), slot.shape, bytes});
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
/// of another run: then the error lists every setting, weight and moment that differs, the optimiser's options and the
/// type of the numbers among them.
template <class Model, class Optimiser>
Metadata load_checkpoint(const std::filesystem::path& path, Model& model, Optimiser& optimiser,
                         const Metadata& settings) {
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
    } else if (key != detail::kVersionKey && key != detail::kChecksumKey && key != "optimiser.steps") {
      found[key] = value;
    }
  }
  std::remove_cvref_t<decltype(optimiser.state())> state;
  for (const auto* p : optimiser.parameters()) {
    state.first.emplace_back(p->value.shape());
    state.second.emplace_back(p->value.shape());
  }
  const std::string steps = file.metadata("optimiser.steps").value_or("");
  std::from_chars(steps.data(), steps.data() + steps.size(), state.steps);
  const std::vector<TensorSlot<T>> slots = detail::checkpoint_slots<T>(model, optimiser, state);
  std::string differences = detail::setting_mismatches(found, expected);
  const std::string tensors = parameter_mismatches(file, std::span<const TensorSlot<T>>(slots));
  if (!tensors.empty()) differences += (differences.empty() ? "" : "; ") + tensors;
  if (!differences.empty()) fail(" is of another run: " + differences);
  load_parameters(file, slots);
  optimiser.restore(std::move(state));
  return progress;
}

}  // namespace lion::io
