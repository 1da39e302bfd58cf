// Any bytes as a safetensors file: they are refused with a FileError, or read whole, written again and read to the
// same.

#include <cstdint>
#include <cstdlib>
#include <span>

#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

/// Reads the tensor as T if it is of that rank; values and types that do not fit are FileErrors.
template <class T, std::size_t Rank>
void read(const lion::io::SafetensorsFile& file, const lion::io::TensorInfo& info) {
  try {
    const auto tensor = file.read_tensor<T, Rank>(info.name);
    require(tensor.size() == info.size());
    if constexpr (!std::same_as<T, bool>) {
      if (const auto view = file.view<T, Rank>(info.name)) {
        require(static_cast<const void*>(view.data()) == info.bytes.data());
        require(view.size() == info.size());
      }
    }
  } catch (const lion::FileError&) {
  }
}

void read_all(const lion::io::SafetensorsFile& file) {
  for (const auto& info : file.tensors()) {
    require(file.find(info.name) == &info);
    read<float, 2>(file, info);
    read<double, 1>(file, info);
    read<lion::bfloat16, 1>(file, info);
    read<lion::half, 3>(file, info);
    read<bool, 1>(file, info);
    read<std::int64_t, 1>(file, info);
    read<std::uint8_t, 1>(file, info);
    read<float, 0>(file, info);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto file = lion::io::SafetensorsFile::from_bytes(bytes, "fuzz");
    read_all(file);

    lion::io::SafetensorsWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.set_metadata(key, value);
    for (const auto& info : file.tensors()) writer.add(info.name, info.dtype, info.shape, info.bytes);
    const auto written = writer.bytes();
    const auto again = lion::io::SafetensorsFile::from_bytes(written);
    require(again.metadata() == file.metadata());
    require(again.tensors().size() == file.tensors().size());
    for (const auto& info : file.tensors()) {
      const auto& other = again.at(info.name);
      require(other.dtype == info.dtype && other.shape == info.shape);
      require(std::equal(info.bytes.begin(), info.bytes.end(), other.bytes.begin(), other.bytes.end()));
    }
  } catch (const lion::FileError&) {
  }
  return 0;
}
