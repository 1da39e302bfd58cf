#pragma once
/// The safetensors format over bytes in memory: what tensors there are, and that every byte belongs to one.
/// https://github.com/huggingface/safetensors#format

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lion/io/safetensors_header.hpp"

namespace lion::io {

/// Headers above this many bytes are refused, as the reference implementation does.
inline constexpr std::uint64_t kLargestHeader = 100'000'000;

/// One tensor of a file.
struct TensorInfo {
  std::string name;
  Dtype dtype{};
  std::vector<Index> shape;          ///< of any rank, 0 included
  std::span<const std::byte> bytes;  ///< dense, row-major, at no particular alignment

  /// Number of elements.
  Index size() const { return static_cast<Index>(bytes.size() / size_of(dtype)); }
};

/// What is in a file. The tensors' bytes lie in the memory that was parsed.
struct Safetensors {
  std::vector<TensorInfo> tensors;  ///< as the header lists them
  Metadata metadata;
};

namespace detail {

/// Bytes of a tensor; none if it or any of its strides does not fit in Index.
inline std::optional<Index> byte_count(std::span<const Index> shape, Dtype dtype) {
  Index bytes = static_cast<Index>(size_of(dtype));
  bool empty = false;
  for (const Index extent : shape) {
    if (extent == 0) {
      empty = true;
    } else if (bytes > (std::numeric_limits<Index>::max)() / extent) {
      return std::nullopt;
    } else {
      bytes *= extent;
    }
  }
  return empty ? 0 : bytes;
}

inline std::string describe_offsets(const HeaderEntry& entry) {
  return "data_offsets " + to_string(std::span<const Index>(entry.offsets));
}

/// An entry against the size of the data, alone.
inline void check_entry(const HeaderEntry& entry, Index data_size, const std::string& prefix) {
  const std::string tensor = prefix + "tensor " + in_quotes(entry.name);
  const std::string shape = " has shape " + to_string(entry.shape) + " of " + std::string(name_of(entry.dtype));
  const auto bytes = byte_count(entry.shape, entry.dtype);
  if (!bytes) throw FileError(tensor + shape + ", which is more bytes than can be counted");
  const Index begin = entry.offsets[0], end = entry.offsets[1];
  if (begin > end)
    throw FileError(tensor + " has " + describe_offsets(entry) + ", expected the end not before the begin");
  if (end > data_size) {
    throw FileError(tensor + " has " + describe_offsets(entry) + ", but the file holds " + std::to_string(data_size) +
                    " bytes of data");
  }
  if (end - begin != *bytes) {
    throw FileError(tensor + shape + ", which takes " + std::to_string(*bytes) + " bytes, but " +
                    describe_offsets(entry) + " span " + std::to_string(end - begin));
  }
}

/// All entries together: they must tile the data without overlaps and without holes.
inline void check_tiling(const std::vector<HeaderEntry>& entries, Index data_size, const std::string& prefix) {
  std::vector<const HeaderEntry*> sorted;
  sorted.reserve(entries.size());
  for (const HeaderEntry& entry : entries) sorted.push_back(&entry);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const HeaderEntry* a, const HeaderEntry* b) { return a->offsets < b->offsets; });
  const auto hole = [&](Index begin, Index end) {
    throw FileError(prefix + "bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                    " of the data belong to no tensor");
  };
  const HeaderEntry* before = nullptr;
  Index covered = 0;
  for (const HeaderEntry* entry : sorted) {
    if (entry->offsets[0] < covered) {
      throw FileError(prefix + "tensors " + in_quotes(before->name) + " and " + in_quotes(entry->name) +
                      " overlap: " + describe_offsets(*before) + " and " + to_string(entry->offsets));
    }
    if (entry->offsets[0] > covered) hole(covered, entry->offsets[0]);
    covered = entry->offsets[1];
    before = entry;
  }
  if (covered < data_size) hole(covered, data_size);
}

/// "safetensors: model.safetensors: ", or without the file for bytes that come from none.
inline std::string safetensors_prefix(std::string_view file) {
  return "safetensors: " + (file.empty() ? std::string() : std::string(file) + ": ");
}

}  // namespace detail

/// Parses a whole file in memory; `file` is its name in messages. Reads nothing outside `bytes`, whatever they are, and
/// throws FileError, naming the file and the tensor, for everything the format does not allow.
inline Safetensors parse_safetensors(std::span<const std::byte> bytes, std::string_view file = {}) {
  const std::string prefix = detail::safetensors_prefix(file);
  if (bytes.size() < 8) {
    throw FileError(prefix + "file has " + std::to_string(bytes.size()) +
                    " bytes, expected at least 8, the header's length");
  }
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  if (header_size > kLargestHeader) {
    throw FileError(prefix + "header length is " + std::to_string(header_size) + ", expected at most " +
                    std::to_string(kLargestHeader));
  }
  if (header_size > bytes.size() - 8) {
    throw FileError(prefix + "header length is " + std::to_string(header_size) + ", but only " +
                    std::to_string(bytes.size() - 8) + " bytes follow it");
  }
  const auto header_bytes = bytes.subspan(8, static_cast<std::size_t>(header_size));
  const auto data = bytes.subspan(8 + header_bytes.size());
  detail::Header header =
      detail::read_header({reinterpret_cast<const char*>(header_bytes.data()), header_bytes.size()}, prefix);

  const Index data_size = static_cast<Index>(data.size());
  for (const auto& entry : header.entries) detail::check_entry(entry, data_size, prefix);
  detail::check_tiling(header.entries, data_size, prefix);

  Safetensors result;
  result.metadata = std::move(header.metadata);
  result.tensors.reserve(header.entries.size());
  for (auto& entry : header.entries) {
    const auto begin = static_cast<std::size_t>(entry.offsets[0]), end = static_cast<std::size_t>(entry.offsets[1]);
    result.tensors.push_back(
        {std::move(entry.name), entry.dtype, std::move(entry.shape), data.subspan(begin, end - begin)});
  }
  return result;
}

}  // namespace lion::io
