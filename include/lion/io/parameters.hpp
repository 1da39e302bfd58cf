#pragma once
/// The parameters of a model from and to a file: everything that is wrong in one error.

#include <algorithm>
#include <deque>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"

namespace lion::io {

/// A named tensor in the caller's memory, dense and row-major.
template <class T>
struct TensorSlot {
  std::string name;
  std::vector<Index> shape;
  T* data = nullptr;
};

/// What `load_parameters` lets pass. Memory of a tensor that is missing is left as it was.
struct LoadOptions {
  bool allow_missing = false;
  bool allow_unexpected = false;
  std::vector<std::string> ignored{};  ///< names that may be in the file besides the slots'
};

struct SaveOptions {
  Metadata metadata{};
  /// Stored type, F32, F64, BF16 or F16; the parameters' own where absent.
  std::optional<Dtype> dtype{};
};

namespace detail {

/// "title: a, b" in the names' order, after a semicolon where something stands before it; nothing for no lines.
inline void append_list(std::string& message, const char* title, std::vector<std::string> lines) {
  if (lines.empty()) return;
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());  // slots that share a name
  message.append(message.empty() ? "" : "; ").append(title);
  for (std::size_t i = 0; i < lines.size(); ++i) message.append(i ? ", " : ": ").append(lines[i]);
}

inline Index count_of(std::span<const Index> shape) {
  Index n = 1;
  for (const Index extent : shape) n *= extent;
  return n;
}

}  // namespace detail

/// What keeps `load_parameters` from filling the slots, as it says it; empty if nothing does.
template <Scalar T>
std::string parameter_mismatches(const SafetensorsFile& file, std::span<const TensorSlot<T>> slots,
                                 const LoadOptions& options = {}) {
  std::vector<std::string> missing, unexpected, misshapen, mistyped;
  std::set<std::string_view> known(options.ignored.begin(), options.ignored.end());
  for (const TensorSlot<T>& slot : slots) {
    known.insert(slot.name);
    const TensorInfo* tensor = file.find(slot.name);
    if (!tensor) {
      if (!options.allow_missing) missing.push_back(in_quotes(slot.name));
    } else if (tensor->shape != slot.shape) {
      misshapen.push_back(in_quotes(slot.name) + " has shape " + to_string(tensor->shape) + ", expected " +
                          to_string(slot.shape));
    } else if (!readable_as<T>(tensor->dtype)) {
      mistyped.push_back(in_quotes(slot.name) + " is " + std::string(name_of(tensor->dtype)) + ", expected " +
                         readable_types<T>());
    }
  }
  if (!options.allow_unexpected) {
    for (const TensorInfo& tensor : file.tensors()) {
      if (!known.contains(tensor.name)) unexpected.push_back(in_quotes(tensor.name));
    }
  }
  std::string message;
  detail::append_list(message, "missing tensors", std::move(missing));
  detail::append_list(message, "unexpected tensors", std::move(unexpected));
  detail::append_list(message, "misshapen tensors", std::move(misshapen));
  detail::append_list(message, "mistyped tensors", std::move(mistyped));
  return message;
}

/// Fills every slot from the tensor of its name (several may share one), stored in any floating-point type. If tensors
/// are missing, unexpected, of another shape or of another kind of type, throws one FileError that lists all of them by
/// name (the missing first, then the unexpected, then the misshapen with their shape and the expected one, then the
/// mistyped), and writes nothing.
template <Scalar T>
void load_parameters(const SafetensorsFile& file, std::span<const TensorSlot<T>> slots,
                     const LoadOptions& options = {}) {
  if (const std::string message = parameter_mismatches(file, slots, options); !message.empty()) {
    throw FileError("load_parameters: " + file.name() + (file.name().empty() ? "" : ": ") + message);
  }
  for (const TensorSlot<T>& slot : slots) {
    if (const TensorInfo* tensor = file.find(slot.name)) {
      convert(tensor->dtype, tensor->bytes.data(), slot.data, tensor->size());
    }
  }
}
template <Scalar T>
void load_parameters(const SafetensorsFile& file, const std::vector<TensorSlot<T>>& slots,
                     const LoadOptions& options = {}) {
  load_parameters(file, std::span<const TensorSlot<T>>(slots), options);
}

/// Writes the slots, in their order, to a file, whole or not at all. Throws ArgumentError for two slots of one name.
template <class T>
  requires Scalar<std::remove_const_t<T>>
void save_parameters(const std::filesystem::path& path, std::span<const TensorSlot<T>> slots,
                     const SaveOptions& options = {}) {
  using Value = std::remove_const_t<T>;
  const Dtype dtype = options.dtype.value_or(dtype_of<Value>());
  if (!is_real(dtype)) {
    throw ArgumentError("save_parameters: dtype is " + std::string(name_of(dtype)) + ", expected " +
                        readable_types<Value>());
  }
  SafetensorsWriter writer;
  for (const auto& [key, value] : options.metadata) writer.set_metadata(key, value);
  std::deque<std::vector<std::byte>> converted;
  for (const TensorSlot<T>& slot : slots) {
    const auto size = static_cast<std::size_t>(detail::count_of(slot.shape));
    auto bytes = std::as_bytes(std::span<const Value>(slot.data, size));
    if (dtype != dtype_of<Value>()) {
      auto& packed = converted.emplace_back(size * size_of(dtype));
      with_type(dtype, [&](auto type) {
        using Stored = typename decltype(type)::type;
        if constexpr (Scalar<Stored>) {
          for (std::size_t i = 0; i < size; ++i) {
            const Stored value = detail::convert_real<Stored>(slot.data[i]);
            std::memcpy(packed.data() + i * sizeof(Stored), &value, sizeof(Stored));
          }
        }
      });
      bytes = packed;
    }
    writer.add(slot.name, dtype, slot.shape, bytes);
  }
  writer.write(path);
}
template <class T>
void save_parameters(const std::filesystem::path& path, const std::vector<TensorSlot<T>>& slots,
                     const SaveOptions& options = {}) {
  save_parameters(path, std::span<const TensorSlot<T>>(slots), options);
}

}  // namespace lion::io
