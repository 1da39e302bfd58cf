// What is no safetensors file: each kind with its message, and files cut short or with bytes changed.

#include <cstdint>
#include <random>

#include "io/files.hpp"
#include "lion/io/safetensors.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

void rejects(const std::string& file, const std::string& message) {
  // Exactly as many bytes as the file has, on the heap: the address sanitizer sees a read beyond them.
  const std::vector<char> exact(file.begin(), file.end());
  require_error<FileError>([&] { io::parse_safetensors(std::as_bytes(std::span(exact)), "m.safetensors"); },
                           "safetensors: m.safetensors: " + message);
}

void rejects_header(const std::string& header, const std::string& message, std::size_t data = 0) {
  rejects(file_of(header, data), message);
}

/// A header with one F32 tensor 'a' of these fields.
std::string tensor(const std::string& shape, const std::string& offsets, const std::string& dtype = "\"F32\"") {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

}  // namespace

TEST_CASE("the header's length must fit the file") {
  rejects("", "file has 0 bytes, expected at least 8, the header's length");
  rejects("1234567", "file has 7 bytes, expected at least 8, the header's length");
  rejects(std::string("\3\0\0\0\0\0\0\0{}", 10), "header length is 3, but only 2 bytes follow it");
  rejects(std::string(8, '\xff') + "{}", "header length is 18446744073709551615, expected at most 100000000");
  rejects(std::string("\1\xe1\xf5\5\0\0\0\0", 8), "header length is 100000001, expected at most 100000000");
  rejects(std::string("\0\xe1\xf5\5\0\0\0\0", 8), "header length is 100000000, but only 0 bytes follow it");
}

TEST_CASE("the header must be a JSON object in UTF-8") {
  rejects_header("", "header does not begin with '{'");
  rejects_header(" {}", "header does not begin with '{'");
  rejects_header("[]", "header does not begin with '{'");
  rejects_header("\xEF\xBB\xBF{}", "header does not begin with '{'");
  rejects_header("{\"a", "header is not valid JSON at its byte 4");
  rejects_header("{}x", "header is not valid JSON at its byte 3");
  rejects_header("{}{}", "header is not valid JSON at its byte 3");
  rejects_header(std::string("{}\0{", 4), "header is not valid JSON at its byte 2");
  rejects_header("{\"a\":1e999}", "header is not valid JSON at its byte 10");
  rejects_header("{\"\\ud800\":{}}", "header is not valid JSON at its byte 9");
  rejects_header("{\"a\xff\":{}}", "header is not valid UTF-8 at its byte 3");
  rejects_header("{\"\xc0\xaf\":{}}", "header is not valid UTF-8 at its byte 2");
  rejects_header("{\"\xed\xa0\x80\":{}}", "header is not valid UTF-8 at its byte 2");
  REQUIRE(io::parse_safetensors(bytes_of(file_of("{}   \n"))).tensors.empty());
}

TEST_CASE("nesting is refused at its first bracket, however deep") {
  rejects_header("{\"a\":" + std::string(1 << 20, '['),
                 "tensor 'a' is an array, expected an object with dtype, shape and data_offsets");
  std::string deep = "{";
  for (int i = 0; i < 100000; ++i) deep += "\"a\":{";
  rejects_header(deep, "tensor 'a' has a field 'a', expected only dtype, shape and data_offsets");
}

TEST_CASE("metadata maps strings to strings, each once") {
  rejects_header(R"({"__metadata__":1})", "__metadata__ is a number, expected an object of strings");
  rejects_header(R"({"__metadata__":null})", "__metadata__ is null, expected an object of strings");
  rejects_header(R"({"__metadata__":{"k":1.5}})",
                 "__metadata__ 'k' is a number that is no integer below 2^63, expected a string");
  rejects_header(R"({"__metadata__":{"k":{}}})", "__metadata__ 'k' is an object, expected a string");
  rejects_header(R"({"__metadata__":{"k":["v"]}})", "__metadata__ 'k' is an array, expected a string");
  rejects_header(R"({"__metadata__":{"k":"v","k":"v"}})", "__metadata__ 'k' comes twice");
  rejects_header(R"({"__metadata__":{},"__metadata__":{}})", "__metadata__ comes twice");
}

TEST_CASE("a tensor has one dtype, one shape and two offsets") {
  rejects_header(R"({"a":true})", "tensor 'a' is a boolean, expected an object with dtype, shape and data_offsets");
  rejects_header(R"({"a":"F32"})", "tensor 'a' is a string, expected an object with dtype, shape and data_offsets");
  rejects_header(R"({"a":{}})", "tensor 'a' has no dtype");
  rejects_header(R"({"a":{"dtype":"F32","data_offsets":[0,0]}})", "tensor 'a' has no shape");
  rejects_header(R"({"a":{"dtype":"F32","shape":[]}})", "tensor 'a' has no data_offsets");
  rejects_header(R"({"a":{"dtype":"F32","dtype":"F32"}})", "tensor 'a' has two fields 'dtype'");
  rejects_header(R"({"a":{"type":"F32"}})",
                 "tensor 'a' has a field 'type', expected only dtype, shape and data_offsets");
  const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  rejects_header("{" + a + "," + a + "}", "tensor 'a' comes twice", 4);

  rejects_header(
      tensor("[1]", "[0,4]", "\"F31\""),
      "tensor 'a' has dtype 'F31', expected one of BOOL, U8, I8, F8_E5M2, F8_E4M3, I16, U16, F16, BF16, I32, "
      "U32, F32, F64, I64, U64",
      4);
  rejects_header(tensor("[1]", "[0,4]", "32"), "tensor 'a' dtype is a number, expected a string", 4);
  rejects_header(tensor("[1]", "[0,4]", "[\"F32\"]"), "tensor 'a' dtype is an array, expected a string", 4);
  rejects_header(tensor("1", "[0,4]"), "tensor 'a' shape is a number, expected an array of integers", 4);
  rejects_header(tensor("[1]", "{}"), "tensor 'a' data_offsets is an object, expected an array of integers", 4);
  rejects_header(tensor("[-1]", "[0,4]"), "tensor 'a' shape holds a negative number, expected only integers from 0 on",
                 4);
  rejects_header(tensor("[1.0]", "[0,4]"),
                 "tensor 'a' shape holds a number that is no integer below 2^63, expected only integers from 0 on", 4);
  rejects_header(tensor("[9223372036854775808]", "[0,4]"),
                 "tensor 'a' shape holds a number that is no integer below 2^63, expected only integers from 0 on", 4);
  rejects_header(tensor("[99999999999999999999999]", "[0,4]"),
                 "tensor 'a' shape holds a number that is no integer below 2^63, expected only integers from 0 on", 4);
  rejects_header(tensor("[[1]]", "[0,4]"), "tensor 'a' shape holds an array, expected only integers from 0 on", 4);
  rejects_header(tensor("[\"1\"]", "[0,4]"), "tensor 'a' shape holds a string, expected only integers from 0 on", 4);
  rejects_header(tensor("[1]", "[-4,0]"),
                 "tensor 'a' data_offsets holds a negative number, expected only integers from 0 on", 4);
  rejects_header(tensor("[1]", "[4]"), "tensor 'a' data_offsets has 1 numbers, expected 2", 4);
  rejects_header(tensor("[1]", "[0,4,8]"), "tensor 'a' data_offsets has 3 numbers, expected 2", 4);

  std::string shape = "[1";
  for (int i = 0; i < 64; ++i) shape += ",1";
  rejects_header(tensor(shape + "]", "[0,4]"), "tensor 'a' shape has more than 64 numbers", 4);
}

TEST_CASE("offsets must fit shape, type and file") {
  rejects_header(tensor("[2,3]", "[0,20]"),
                 "tensor 'a' has shape [2,3] of F32, which takes 24 bytes, but data_offsets [0,20] span 20", 20);
  rejects_header(tensor("[2,3]", "[0,24]", "\"F64\""),
                 "tensor 'a' has shape [2,3] of F64, which takes 48 bytes, but data_offsets [0,24] span 24", 24);
  rejects_header(tensor("[]", "[0,0]"),
                 "tensor 'a' has shape [] of F32, which takes 4 bytes, but data_offsets [0,0] span 0");
  rejects_header(tensor("[0]", "[4,0]"), "tensor 'a' has data_offsets [4,0], expected the end not before the begin", 4);
  rejects_header(tensor("[2]", "[0,8]"), "tensor 'a' has data_offsets [0,8], but the file holds 7 bytes of data", 7);
  rejects_header(
      tensor("[1]", "[9223372036854775803,9223372036854775807]"),
      "tensor 'a' has data_offsets [9223372036854775803,9223372036854775807], but the file holds 4 bytes of data", 4);
  const std::string huge = "4611686018427387904";
  for (const std::string& shape : {"[" + huge + "]", "[" + huge + "," + huge + "]", "[0," + huge + "," + huge + "]"}) {
    rejects_header(tensor(shape, "[0,0]"),
                   "tensor 'a' has shape " + shape + " of F32, which is more bytes than can be counted");
  }
}

TEST_CASE("tensors must tile the data") {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  rejects_header(two("[0,4]", "[2,6]"), "tensors 'a' and 'b' overlap: data_offsets [0,4] and [2,6]", 6);
  rejects_header(two("[2,6]", "[0,4]"), "tensors 'b' and 'a' overlap: data_offsets [0,4] and [2,6]", 6);
  rejects_header(two("[0,4]", "[0,4]"), "tensors 'a' and 'b' overlap: data_offsets [0,4] and [0,4]", 4);
  rejects_header(two("[0,4]", "[5,9]"), "bytes 4 to 5 of the data belong to no tensor", 9);
  rejects_header(two("[1,5]", "[5,9]"), "bytes 0 to 1 of the data belong to no tensor", 9);
  rejects_header(two("[0,4]", "[4,8]"), "bytes 8 to 9 of the data belong to no tensor", 9);
  rejects_header("{}", "bytes 0 to 1 of the data belong to no tensor", 1);
  REQUIRE(io::parse_safetensors(bytes_of(file_of(two("[4,8]", "[0,4]"), 8))).tensors[0].name == "a");
}

TEST_CASE("names in messages are fit to print") {
  rejects_header(R"({"a\u0000\n":1})",
                 "tensor 'a\\x00\\x0a' is a number, expected an object with dtype, shape and data_offsets");
  const std::string long_name = std::string(199, 'x') + "é" + std::string(1000, 'y');
  rejects_header("{\"" + long_name + "\":1}", "tensor '" + std::string(199, 'x') +
                                                  "…' is a number, expected an object with dtype, shape and "
                                                  "data_offsets");
}

TEST_CASE("bytes without a file are named by none") {
  require_error<FileError>([] { io::parse_safetensors({}); },
                           "safetensors: file has 0 bytes, expected at least 8, the header's length");
}

TEST_CASE("a file cut anywhere is an error, and one with changed bytes is an error or a file") {
  const std::string whole = file_of(R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                    R"("b":{"dtype":"I64","shape":[],"data_offsets":[8,16]}})",
                                    16);
  REQUIRE(io::parse_safetensors(bytes_of(whole)).tensors.size() == 2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    REQUIRE_THROWS_AS(io::parse_safetensors(std::as_bytes(std::span(cut))), FileError);
  }
  std::mt19937 random(7);
  int parsed = 0, refused = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    std::vector<char> changed(whole.begin(), whole.end());
    for (int change = 0; change < 1 + trial % 3; ++change)
      changed[random() % changed.size()] = static_cast<char>(random());
    try {
      for (const auto& info : io::parse_safetensors(std::as_bytes(std::span(changed))).tensors) {
        const auto all = std::as_bytes(std::span(changed));
        REQUIRE(info.bytes.data() >= all.data());
        REQUIRE(info.bytes.data() + info.bytes.size() <= all.data() + all.size());
      }
      ++parsed;
    } catch (const FileError&) {
      ++refused;
    }
  }
  REQUIRE(parsed > 0);
  REQUIRE(refused > 0);
}
