#pragma once
/// What the JSON header of a safetensors file says, before it is held against the bytes that follow.

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/utf8.hpp"
#include "lion/io/dtype.hpp"
#include "lion/io/message.hpp"

namespace lion::io {

/// The key/value texts of a file's `__metadata__`.
using Metadata = std::map<std::string, std::string, std::less<>>;

namespace detail {

/// One entry of the header; the numbers fit in Index, nothing more is known of them.
struct HeaderEntry {
  std::string name;
  Dtype dtype{};
  std::vector<Index> shape;
  std::vector<Index> offsets;  // two
};

struct Header {
  std::vector<HeaderEntry> entries;  // as the header lists them
  Metadata metadata;
};

/// Receives the header's JSON token by token. The grammar it admits is at most three levels deep, so whatever nests
/// deeper is refused at its first bracket, and keys that come twice are seen (a JSON tree would have lost them).
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string prefix) : prefix_(std::move(prefix)) {}
  Header take() { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t&) override { unexpected("a number that is no integer below 2^63"); }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kArray) unexpected("a number");
    if (value > static_cast<std::uint64_t>((std::numeric_limits<Index>::max)())) {
      unexpected("a number that is no integer below 2^63");
    }
    std::vector<Index>& array = field_ == "shape" ? entry().shape : entry().offsets;
    if (array.size() == kMostDimensions) fail(subject() + " has more than 64 numbers");
    array.push_back(static_cast<Index>(value));
    return true;
  }
  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[key_] = std::move(value);
    } else if (place_ == Place::kTensor && field_ == "dtype") {
      const auto dtype = dtype_named(value);
      if (!dtype) fail(tensor() + " has dtype " + in_quotes(value) + ", expected one of " + dtype_names());
      entry().dtype = *dtype;
    } else {
      unexpected("a string");
    }
    return true;
  }
  bool binary(binary_t&) override { unexpected("binary"); }  // JSON text has none

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop && key_ == "__metadata__") {
      place_ = Place::kMetadata;
    } else if (place_ == Place::kTop) {
      header_.entries.push_back({key_, {}, {}, {}});
      fields_.clear();
      place_ = Place::kTensor;
    } else {
      unexpected("an object");
    }
    return true;
  }
  bool key(string_t& key) override {
    if (place_ == Place::kTop) {
      key_ = std::move(key);
      if (!names_.insert(key_).second) {
        fail(key_ == "__metadata__" ? "__metadata__ comes twice" : tensor() + " comes twice");
      }
    } else if (place_ == Place::kMetadata) {
      key_ = std::move(key);
      if (header_.metadata.contains(key_)) fail("__metadata__ " + in_quotes(key_) + " comes twice");
    } else {
      field_ = std::move(key);
      if (field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") {
        fail(tensor() + " has a field " + in_quotes(field_) + ", expected only dtype, shape and data_offsets");
      }
      if (!fields_.insert(field_).second) fail(tensor() + " has two fields '" + field_ + "'");
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::kTensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (!fields_.contains(field)) fail(tensor() + " has no " + field);
      }
    }
    place_ = Place::kTop;  // of the outermost brace nothing follows
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || field_ == "dtype") unexpected("an array");
    place_ = Place::kArray;
    return true;
  }
  bool end_array() override {
    if (field_ == "data_offsets" && entry().offsets.size() != 2) {
      fail(subject() + " has " + std::to_string(entry().offsets.size()) + " numbers, expected 2");
    }
    place_ = Place::kTensor;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail("header is not valid JSON at its byte " + std::to_string(position));
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kArray };
  static constexpr std::size_t kMostDimensions = 64;

  HeaderEntry& entry() { return header_.entries.back(); }
  std::string tensor() const { return "tensor " + in_quotes(key_); }
  std::string subject() const { return tensor() + " " + field_; }

  [[noreturn]] void fail(const std::string& what) const { throw FileError(prefix_ + what); }
  [[noreturn]] void unexpected(const std::string& what) const {
    switch (place_) {
      case Place::kStart:
        fail("header is " + what + ", expected an object");
      case Place::kTop:
        if (key_ == "__metadata__") fail("__metadata__ is " + what + ", expected an object of strings");
        fail(tensor() + " is " + what + ", expected an object with dtype, shape and data_offsets");
      case Place::kMetadata:
        fail("__metadata__ " + in_quotes(key_) + " is " + what + ", expected a string");
      case Place::kTensor:
        fail(subject() + " is " + what + ", expected " + (field_ == "dtype" ? "a string" : "an array of integers"));
      case Place::kArray:
        break;
    }
    fail(subject() + " holds " + what + ", expected only integers from 0 on");
  }

  std::string prefix_;
  Place place_ = Place::kStart;
  Header header_;
  std::set<std::string, std::less<>> names_;   // keys of the header so far
  std::set<std::string, std::less<>> fields_;  // of the tensor being read, so far
  std::string key_, field_;
};

/// Reads the header's JSON. `prefix` begins every message. Throws FileError.
inline Header read_header(std::string_view json, const std::string& prefix) {
  if (const std::size_t at = find_invalid_utf8(json); at != std::string_view::npos) {
    throw FileError(prefix + "header is not valid UTF-8 at its byte " + std::to_string(at));
  }
  // The format asks for the brace; a parser would let white space or a byte order mark pass, and stop at a NUL.
  if (json.empty() || json.front() != '{') throw FileError(prefix + "header does not begin with '{'");
  if (const std::size_t at = json.find('\0'); at != std::string_view::npos) {
    throw FileError(prefix + "header is not valid JSON at its byte " + std::to_string(at));
  }
  HeaderReader reader(prefix);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take();
}

}  // namespace detail
}  // namespace lion::io
