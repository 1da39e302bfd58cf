#pragma once
/// Safetensors files, memory-mapped and read by name.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lion/core/tensor.hpp"
#include "lion/io/convert.hpp"
#include "lion/io/mapped_file.hpp"
#include "lion/io/safetensors_parser.hpp"

namespace lion::io {

namespace detail {
/// -1, that is anything, in every dimension. Not a member: nvcc's front end does not find it in default arguments then.
template <std::size_t Rank>
constexpr Shape<Rank> any_shape() {
  Shape<Rank> shape{};
  for (Index& extent : shape) extent = -1;
  return shape;
}
}  // namespace detail

/// An open file. Its tensors' bytes stay in the file's pages until they are read; views and infos live as long as the
/// object, also when it is moved. Every error is a FileError that names the file, the tensor, what was expected and
/// what was found.
class SafetensorsFile {
 public:
  /// Maps the file and checks all of its header.
  static SafetensorsFile open(const std::filesystem::path& path) {
    MappedFile map(path);
    const auto bytes = map.bytes();
    return SafetensorsFile(std::move(map), bytes, path.string());
  }

  /// The same over the caller's memory, which must outlive the object; `name` stands for the file in messages.
  static SafetensorsFile from_bytes(std::span<const std::byte> bytes, std::string name = {}) {
    return SafetensorsFile(std::nullopt, bytes, std::move(name));
  }

  /// The path it was opened by.
  const std::string& name() const { return name_; }

  /// All tensors, as the header lists them.
  const std::vector<TensorInfo>& tensors() const { return contents_.tensors; }

  /// Their names, in the same order.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const TensorInfo& tensor : tensors()) names.push_back(tensor.name);
    return names;
  }

  const Metadata& metadata() const { return contents_.metadata; }

  /// The metadata's value, or none.
  std::optional<std::string> metadata(std::string_view key) const {
    const auto it = contents_.metadata.find(key);
    return it == contents_.metadata.end() ? std::nullopt : std::optional(it->second);
  }

  /// The tensor, or nullptr.
  const TensorInfo* find(std::string_view name) const {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : &contents_.tensors[it->second];
  }
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// The tensor; throws if there is none.
  const TensorInfo& at(std::string_view name) const {
    const TensorInfo* tensor = find(name);
    if (!tensor) throw FileError(detail::safetensors_prefix(name_) + "has no tensor " + in_quotes(name));
    return *tensor;
  }

  /// Reads a tensor into the caller's memory, of any strides, converted to T: floating point from any floating-point
  /// type, integers from any integer type or BOOL if every value fits, bool from BOOL or U8 (not 0 is true). The shapes
  /// must be equal.
  template <Element T, std::size_t Rank>
  void read(std::string_view name, View<T, Rank> destination) const {
    const TensorInfo& tensor = at(name);
    require(tensor, destination.shape());
    copy(tensor, destination);
  }
  template <Element T, std::size_t Rank>
  void read(std::string_view name, Tensor<T, Rank>& destination) const {
    read(name, destination.view());
  }

  /// A tensor of this rank, converted to T as `read` does; where `expected` is given the shape must be that (-1 stands
  /// for anything).
  template <Element T, std::size_t Rank>
  Tensor<T, Rank> read_tensor(std::string_view name, const Shape<Rank>& expected = detail::any_shape<Rank>()) const {
    const TensorInfo& tensor = at(name);
    Tensor<T, Rank> result(require(tensor, expected));
    copy(tensor, result.view());
    return result;
  }

  /// The elements of a tensor of any shape, row-major, converted to T as `read` does.
  template <Element T>
  std::vector<T> read_values(std::string_view name) const
    requires(!std::same_as<T, bool>)  // std::vector<bool> is no memory to write to
  {
    const TensorInfo& tensor = at(name);
    std::vector<T> values(static_cast<std::size_t>(tensor.size()));
    copy(tensor, View<T, 1>(values.data(), {tensor.size()}));
    return values;
  }

  /// The file's own memory as a view, without a copy: absent if the tensor is stored as another type or lies at an
  /// address that is not aligned for T (call `read_tensor` then). Throws if the rank or the expected shape differs.
  template <Element T, std::size_t Rank>
  View<const T, Rank> view(std::string_view name, const Shape<Rank>& expected = detail::any_shape<Rank>()) const
    requires(!std::same_as<T, bool>)  // bytes that are neither 0 nor 1 are no bool
  {
    const TensorInfo& tensor = at(name);
    const Shape<Rank> shape = require(tensor, expected);
    if (tensor.dtype != dtype_of<T>()) return {};
    if (reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignof(T) != 0) return {};
    return View<const T, Rank>(reinterpret_cast<const T*>(tensor.bytes.data()), shape);
  }

 private:
  SafetensorsFile(std::optional<MappedFile> map, std::span<const std::byte> bytes, std::string name)
      : map_(std::move(map)), name_(std::move(name)), contents_(parse_safetensors(bytes, name_)) {
    by_name_.reserve(contents_.tensors.size());
    for (std::size_t i = 0; i < contents_.tensors.size(); ++i) by_name_.emplace(contents_.tensors[i].name, i);
  }

  [[noreturn]] void fail(const TensorInfo& tensor, const std::string& what) const {
    throw FileError(detail::safetensors_prefix(name_) + "tensor " + in_quotes(tensor.name) + " " + what);
  }

  /// The tensor's shape if it is the expected one.
  template <std::size_t Rank>
  Shape<Rank> require(const TensorInfo& tensor, const Shape<Rank>& expected) const {
    Shape<Rank> shape{};
    bool equal = tensor.shape.size() == Rank;
    for (std::size_t r = 0; equal && r < Rank; ++r) {
      shape[r] = tensor.shape[r];
      equal = expected[r] < 0 || expected[r] == shape[r];
    }
    if (!equal) fail(tensor, "has shape " + to_string(tensor.shape) + ", expected " + to_string(expected));
    return shape;
  }

  template <Element T, std::size_t Rank>
  void copy(const TensorInfo& tensor, const View<T, Rank>& destination) const {
    if (!readable_as<T>(tensor.dtype)) {
      fail(tensor, "is " + std::string(name_of(tensor.dtype)) + ", expected " + readable_types<T>());
    }
    // All at once where the elements lie densely, else row by row of the last dimension, wherever the strides put them.
    const Shape<Rank>& shape = destination.shape();
    Index width = tensor.size(), stride = 1;
    if (destination.strides() != dense_strides(shape)) {
      if constexpr (Rank > 0) width = shape[Rank - 1], stride = destination.stride(Rank - 1);
    }
    const Index rows = width > 0 ? tensor.size() / width : 0;
    for (Index row = 0; row < rows; ++row) {
      Index offset = 0, rest = row;
      if constexpr (Rank > 1) {
        for (std::size_t r = Rank - 1; r-- > 0;) {
          offset += rest % shape[r] * destination.stride(r);
          rest /= shape[r];
        }
      }
      const std::byte* from = tensor.bytes.data() + static_cast<std::size_t>(row * width) * size_of(tensor.dtype);
      const Index done = convert(tensor.dtype, from, destination.data() + offset, width, stride);
      if (done < width) {
        fail(tensor, "holds a value at position " + std::to_string(row * width + done) + " that does not fit in " +
                         std::string(name_of(dtype_of<T>())));
      }
    }
  }

  std::optional<MappedFile> map_;
  std::string name_;
  Safetensors contents_;
  std::unordered_map<std::string_view, std::size_t> by_name_;  // keys lie in contents_
};

}  // namespace lion::io
