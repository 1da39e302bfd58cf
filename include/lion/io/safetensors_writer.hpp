#pragma once
/// Safetensors files, written whole or not at all.

#include <algorithm>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lion/core/atomic_file.hpp"
#include "lion/core/tensor.hpp"
#include "lion/io/convert.hpp"
#include "lion/io/safetensors_parser.hpp"

namespace lion::io {

/// Collects tensors and metadata, then writes them. The bytes of a file depend only on what was added and in which
/// order: metadata sorted by key, then the tensors, those of larger elements first (so that each lies aligned, as the
/// reference implementation has it), otherwise as they were added; header padded with spaces to a multiple of 8.
/// Errors in what is added throw ArgumentError, errors in writing FileError.
class SafetensorsWriter {
 public:
  /// Adds or replaces an entry of `__metadata__`; key and value are UTF-8.
  void set_metadata(const std::string& key, const std::string& value) {
    require_utf8("metadata key", key);
    require_utf8("metadata value", value);
    metadata_[key] = value;
  }

  /// A tensor in the caller's memory, dense and row-major, which must last until the file is written.
  void add(const std::string& name, Dtype dtype, std::vector<Index> shape, std::span<const std::byte> bytes) {
    require_utf8("tensor name", name);
    if (name == "__metadata__") throw ArgumentError("SafetensorsWriter: '__metadata__' cannot name a tensor");
    const bool negative = std::any_of(shape.begin(), shape.end(), [](Index extent) { return extent < 0; });
    const auto expected = negative ? std::nullopt : detail::byte_count(shape, dtype);
    if (!expected || static_cast<std::size_t>(*expected) != bytes.size()) {
      throw ArgumentError("SafetensorsWriter: tensor " + in_quotes(name) + " has " + std::to_string(bytes.size()) +
                          " bytes, expected those of shape " + to_string(shape) + " of " + std::string(name_of(dtype)));
    }
    if (!names_.insert(name).second) {
      throw ArgumentError("SafetensorsWriter: tensor " + in_quotes(name) + " added twice");
    }
    tensors_.push_back({name, dtype, std::move(shape), bytes});
  }

  /// A tensor as it is: read from the caller's memory when the file is written if its elements lie densely, else
  /// copied now.
  template <class T, std::size_t Rank>
  void add(const std::string& name, const View<T, Rank>& view) {
    using Value = std::remove_const_t<T>;
    if (view.strides() == dense_strides(view.shape())) {
      const auto bytes = std::as_bytes(std::span<const Value>(view.data(), static_cast<std::size_t>(view.size())));
      add(name, dtype_of<Value>(), {view.shape().begin(), view.shape().end()}, bytes);
    } else {
      add_as<Value>(name, view);
    }
  }
  template <class T, std::size_t Rank>
  void add(const std::string& name, const Tensor<T, Rank>& tensor) {
    add(name, tensor.view());
  }
  template <class T, std::size_t Rank>
  void add(const std::string& name, Tensor<T, Rank>&&) = delete;  // would be gone before the file is written

  /// A tensor converted to Stored, copied now: floating point to floating point, or a type to itself.
  template <Element Stored, class T, std::size_t Rank>
  void add_as(const std::string& name, const View<T, Rank>& view) {
    using Value = std::remove_const_t<T>;
    static_assert(std::same_as<Stored, Value> || (Scalar<Stored> && Scalar<Value>),
                  "SafetensorsWriter::add_as converts floating point to floating point only");
    const Shape<Rank>& shape = view.shape();
    std::vector<std::byte> packed(static_cast<std::size_t>(view.size()) * sizeof(Stored));
    for (Index i = 0; i < view.size(); ++i) {
      Index offset = 0, rest = i;
      for (std::size_t r = Rank; r-- > 0;) {
        offset += rest % shape[r] * view.stride(r);
        rest /= shape[r];
      }
      Stored value;
      if constexpr (Scalar<Stored>)
        value = detail::convert_real<Stored>(view.data()[offset]);
      else
        value = view.data()[offset];
      std::memcpy(packed.data() + static_cast<std::size_t>(i) * sizeof(Stored), &value, sizeof(Stored));
    }
    add(name, dtype_of<Stored>(), {shape.begin(), shape.end()}, packed);
    own_.push_back(std::move(packed));  // moving a vector leaves its elements where they are
  }

  /// Writes the file through AtomicFile.
  void write(const std::filesystem::path& path) const {
    AtomicFile file(path);
    emit([&](std::span<const std::byte> bytes) { file.write(bytes); });
    file.commit();
  }

  /// The file's bytes.
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> result;
    emit([&](std::span<const std::byte> bytes) { result.insert(result.end(), bytes.begin(), bytes.end()); });
    return result;
  }

 private:
  static void require_utf8(const char* what, const std::string& text) {
    if (find_invalid_utf8(text) != std::string_view::npos) {
      throw ArgumentError(std::string("SafetensorsWriter: ") + what + " is not valid UTF-8");
    }
  }

  template <class Sink>
  void emit(Sink&& sink) const {
    std::vector<const TensorInfo*> sorted;
    for (const TensorInfo& tensor : tensors_) sorted.push_back(&tensor);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const TensorInfo* a, const TensorInfo* b) { return size_of(a->dtype) > size_of(b->dtype); });
    const std::string header = header_of(sorted);
    const std::uint64_t size = header.size();
    sink(std::as_bytes(std::span(&size, 1)));
    sink(std::as_bytes(std::span(header)));
    for (const TensorInfo* tensor : sorted) sink(tensor->bytes);
  }

  std::string header_of(const std::vector<const TensorInfo*>& sorted) const {
    const auto text = [](const std::string& raw) { return nlohmann::json(raw).dump(); };  // with its escapes
    std::string header = "{";
    if (!metadata_.empty()) header += "\"__metadata__\":" + nlohmann::json(metadata_).dump();
    std::size_t begin = 0;
    for (const TensorInfo* tensor : sorted) {
      const std::size_t end = begin + tensor->bytes.size();
      if (header.size() > 1) header += ",";
      header += text(tensor->name) + ":{\"dtype\":\"" + std::string(name_of(tensor->dtype)) +
                "\",\"shape\":" + to_string(tensor->shape) + ",\"data_offsets\":[" + std::to_string(begin) + "," +
                std::to_string(end) + "]}";
      begin = end;
    }
    header += "}";
    header.append((8 - header.size() % 8) % 8, ' ');
    if (header.size() > kLargestHeader) {
      throw ArgumentError("SafetensorsWriter: header has " + std::to_string(header.size()) +
                          " bytes, expected at most " + std::to_string(kLargestHeader));
    }
    return header;
  }

  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::set<std::string, std::less<>> names_;
  std::deque<std::vector<std::byte>> own_;
};

}  // namespace lion::io
