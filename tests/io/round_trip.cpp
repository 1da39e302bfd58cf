// What is written is read back: every type, every shape, the bytes of the format as the reference writes them.

#include <cmath>
#include <cstdint>
#include <limits>

#include "io/files.hpp"
#include "lion/io/safetensors.hpp"
#include "lion/io/safetensors_writer.hpp"
#include "support/require_error.hpp"

using namespace lion;
using io::Dtype;

namespace {

io::SafetensorsFile parse(const std::vector<std::byte>& bytes) { return io::SafetensorsFile::from_bytes(bytes, "t"); }

template <class T>
Tensor<T, 1> values(const std::vector<double>& from) {
  Tensor<T, 1> tensor({static_cast<Index>(from.size())});
  for (std::size_t i = 0; i < from.size(); ++i) tensor.data()[i] = static_cast<T>(from[i]);
  return tensor;
}

/// Every tensor of the vector type, written as T, is read as each U as U(value).
template <class T, class... Us>
void round_trips(const std::vector<double>& numbers) {
  const Tensor<T, 1> tensor = values<T>(numbers);
  io::SafetensorsWriter writer;
  writer.add("x", tensor);
  const auto bytes = writer.bytes();
  const auto file = parse(bytes);
  REQUIRE(file.at("x").dtype == io::dtype_of<T>());
  const auto check = [&]<class U>(U) {
    const Tensor<U, 1> read = file.read_tensor<U, 1>("x");
    for (std::size_t i = 0; i < numbers.size(); ++i) REQUIRE(read.data()[i] == static_cast<U>(numbers[i]));
  };
  (check(Us{}), ...);
}

}  // namespace

TEST_CASE("every type is read back as itself and as the types that mean the same") {
  const std::vector<double> reals{0, -0.5, 1.25, 96, -3};  // exact in all of them
  round_trips<float, float, double, bfloat16, half>(reals);
  round_trips<double, float, double, bfloat16, half>(reals);
  round_trips<bfloat16, float, double, bfloat16, half>(reals);
  round_trips<half, float, double, bfloat16, half>(reals);
  round_trips<std::int64_t, std::int64_t, std::int32_t, std::int16_t, std::int8_t>({0, -7, 100});
  round_trips<std::int32_t, std::int64_t, std::int32_t, std::int16_t, std::int8_t>({0, -7, 100});
  round_trips<std::int16_t, std::int64_t, std::int32_t, std::int16_t, std::int8_t>({0, -7, 100});
  round_trips<std::int8_t, std::int64_t, std::int32_t, std::int16_t, std::int8_t>({0, -7, 100});
  round_trips<std::uint64_t, std::uint64_t, std::int64_t, std::uint8_t>({0, 1, 100});
  round_trips<std::uint32_t, std::uint64_t, std::int64_t, std::uint8_t>({0, 1, 100});
  round_trips<std::uint16_t, std::uint64_t, std::int64_t, std::uint8_t>({0, 1, 100});
  round_trips<std::uint8_t, std::uint64_t, std::int64_t, std::uint8_t, bool>({0, 1, 1});
  round_trips<bool, bool, std::int64_t, std::uint8_t>({0, 1, 1, 0});
}

TEST_CASE("the sizes and names of all types") {
  const std::vector<std::pair<std::string, std::size_t>> sizes{
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  for (const auto& [name, size] : sizes) {
    const auto dtype = io::dtype_named(name);
    REQUIRE(dtype);
    REQUIRE(io::name_of(*dtype) == name);
    REQUIRE(io::size_of(*dtype) == size);
    const std::string header =
        R"({"x":{"dtype":")" + name + R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * size) + "]}}";
    const std::string bytes = file_of(header, 3 * size);
    REQUIRE(io::parse_safetensors(bytes_of(bytes)).tensors.at(0).size() == 3);
  }
  REQUIRE(!io::dtype_named("F128"));
}

TEST_CASE("narrowing rounds to nearest, what has no value keeps its kind") {
  io::SafetensorsWriter writer;
  const Tensor<double, 1> wide = values<double>({1.00390625, 1e300, -INFINITY, NAN, 1 + 1e-12, 65520});
  writer.add("x", wide);
  const auto bytes = writer.bytes();
  const auto file = parse(bytes);
  const auto single = file.read_tensor<float, 1>("x");
  const auto brain = file.read_tensor<bfloat16, 1>("x");
  const auto shorter = file.read_tensor<half, 1>("x");
  REQUIRE(single(4) == 1.0f);
  REQUIRE(std::isinf(single(1)));
  REQUIRE(static_cast<float>(brain(0)) == 1.0f);  // the tie to even
  REQUIRE(static_cast<float>(shorter(0)) == 1.00390625f);
  REQUIRE(std::isinf(static_cast<float>(shorter(5))));
  REQUIRE(static_cast<float>(brain(2)) == -INFINITY);
  REQUIRE(std::isnan(static_cast<float>(brain(3))));
  REQUIRE(std::isnan(static_cast<float>(shorter(3))));
}

TEST_CASE("what does not fit is an error that names the tensor") {
  io::SafetensorsWriter writer;
  const auto integers = values<std::int64_t>({1, -1, 300});
  const auto reals = values<float>({1, 2});
  writer.add("i", integers);
  writer.add("f", reals);
  const std::array<std::byte, 2> eight{};
  writer.add("e", Dtype::kF8E4M3, {2}, eight);
  const auto bytes = writer.bytes();
  const auto file = parse(bytes);
  require_error<FileError>([&] { file.read_tensor<std::uint8_t, 1>("i"); },
                           "safetensors: t: tensor 'i' holds a value at position 1 that does not fit in U8");
  require_error<FileError>([&] { file.read_tensor<std::int8_t, 1>("i"); },
                           "safetensors: t: tensor 'i' holds a value at position 2 that does not fit in I8");
  require_error<FileError>([&] { file.read_tensor<float, 1>("i"); },
                           "safetensors: t: tensor 'i' is I64, expected F16, BF16, F32 or F64");
  require_error<FileError>([&] { file.read_tensor<Index, 1>("f"); },
                           "safetensors: t: tensor 'f' is F32, expected an integer type or BOOL");
  require_error<FileError>([&] { file.read_tensor<bool, 1>("i"); },
                           "safetensors: t: tensor 'i' is I64, expected BOOL or U8");
  require_error<FileError>([&] { file.read_tensor<float, 1>("e"); },
                           "safetensors: t: tensor 'e' is F8_E4M3, expected F16, BF16, F32 or F64");
  require_error<FileError>([&] { file.read_tensor<float, 2>("f"); },
                           "safetensors: t: tensor 'f' has shape [2], expected [*,*]");
  require_error<FileError>([&] { file.read_tensor<float, 1>("f", {3}); },
                           "safetensors: t: tensor 'f' has shape [2], expected [3]");
  require_error<FileError>([&] { file.read_tensor<float, 1>("g"); }, "safetensors: t: has no tensor 'g'");
  Tensor<float, 2> square({2, 2});
  require_error<FileError>([&] { file.read("f", square); }, "safetensors: t: tensor 'f' has shape [2], expected [2,2]");
}

TEST_CASE("strided memory is written and read by its strides") {
  // [2,3] as the transpose of a [3,2] buffer with a column to spare
  std::vector<float> buffer(9, -1);
  const View<float, 2> transposed(buffer.data(), {2, 3}, {1, 3});
  for (Index i = 0; i < 2; ++i) {
    for (Index j = 0; j < 3; ++j) transposed(i, j) = static_cast<float>(10 * i + j);
  }
  io::SafetensorsWriter writer;
  writer.add("x", transposed);
  writer.add_as<half>("h", transposed);
  const auto bytes = writer.bytes();
  const auto file = parse(bytes);
  REQUIRE(file.read_values<float>("x") == std::vector<float>{0, 1, 2, 10, 11, 12});
  REQUIRE(file.at("h").dtype == Dtype::kF16);
  REQUIRE(file.read_values<float>("h") == std::vector<float>{0, 1, 2, 10, 11, 12});

  std::vector<double> target(9, -1);
  file.read("x", View<double, 2>(target.data(), {2, 3}, {1, 3}));
  REQUIRE(target == std::vector<double>{0, 10, -1, 1, 11, -1, 2, 12, -1});
  std::vector<double> deep(12, -1);  // [1,2,3] with room between rows and elements
  io::SafetensorsWriter cube;
  cube.add("y", View<const float, 3>(buffer.data(), {1, 2, 3}, {0, 1, 3}));
  const auto cube_bytes = cube.bytes();
  parse(cube_bytes).read("y", View<double, 3>(deep.data(), {1, 2, 3}, {12, 6, 2}));
  REQUIRE(deep == std::vector<double>{0, -1, 1, -1, 2, -1, 10, -1, 11, -1, 12, -1});
}

TEST_CASE("scalars and empty tensors") {
  io::SafetensorsWriter writer;
  const double number = 2.5;
  const Tensor<float, 3> empty({4, 0, 2});
  writer.add("scalar", View<const double, 0>(&number, {}));
  writer.add("empty", empty);
  const auto bytes = writer.bytes();
  const auto file = parse(bytes);
  REQUIRE(file.read_tensor<float, 0>("scalar")() == 2.5f);
  REQUIRE(file.at("empty").shape == std::vector<Index>{4, 0, 2});
  REQUIRE(file.read_tensor<double, 3>("empty").size() == 0);
  REQUIRE(file.view<float, 3>("empty").shape() == Shape<3>{4, 0, 2});
  const auto nothing = io::SafetensorsWriter().bytes();
  REQUIRE(parse(nothing).tensors().empty());
}

TEST_CASE("the layout: larger elements first, a header of whole eights, metadata by key") {
  io::SafetensorsWriter writer;
  const auto a = values<float>({1}), b = values<float>({2});
  const auto c = values<double>({3});
  const auto d = values<bool>({1});
  writer.add("b", b);
  writer.add("d", d);
  writer.add("a\"\n", a);
  writer.add("c", c);
  writer.set_metadata("z", "é");
  writer.set_metadata("y", "\"");
  const auto bytes = writer.bytes();
  const std::string header =
      R"({"__metadata__":{"y":"\"","z":"é"},"c":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
      R"("a\"\n":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},)"
      R"("d":{"dtype":"BOOL","shape":[1],"data_offsets":[16,17]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  REQUIRE(bytes.size() == 8 + padded + 17);
  const std::string text(reinterpret_cast<const char*>(bytes.data()) + 8, padded);
  REQUIRE(text == header + std::string(padded - header.size(), ' '));
  const auto file = parse(bytes);
  REQUIRE(file.names() == std::vector<std::string>{"c", "b", "a\"\n", "d"});
  REQUIRE(file.metadata() == io::Metadata{{"y", "\""}, {"z", "é"}});
  REQUIRE(file.metadata("z") == "é");
  REQUIRE(!file.metadata("x"));
  REQUIRE(file.find("e") == nullptr);
  REQUIRE(!file.contains("e"));
  REQUIRE(writer.bytes() == bytes);
}

TEST_CASE("a view is the file's own memory, where type and address allow") {
  io::SafetensorsWriter writer;
  const auto numbers = values<float>({1, 2, 3});
  writer.add("x", numbers);
  auto bytes = writer.bytes();
  bytes.insert(bytes.begin(), std::byte{0});  // everything at odd addresses
  const auto odd = io::SafetensorsFile::from_bytes(std::span<const std::byte>(bytes).subspan(1));
  REQUIRE(!odd.view<float, 1>("x"));
  REQUIRE(odd.read_values<double>("x") == std::vector<double>{1, 2, 3});
  REQUIRE(odd.read_values<float>("x") == std::vector<float>{1, 2, 3});

  bytes.erase(bytes.begin());
  const auto even = parse(bytes);
  const View<const float, 1> view = even.view<float, 1>("x", {3});
  REQUIRE(static_cast<const void*>(view.data()) == even.at("x").bytes.data());
  REQUIRE(view(2) == 3);
  REQUIRE(!even.view<double, 1>("x"));
  require_error<FileError>([&] { even.view<float, 1>("x", {4}); },
                           "safetensors: t: tensor 'x' has shape [3], expected [4]");
}

TEST_CASE("any byte but zero is a true bool") {
  std::string text = file_of(R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", 3);
  text[text.size() - 1] = '\x02';
  text[text.size() - 2] = '\xff';
  const auto file = io::SafetensorsFile::from_bytes(bytes_of(text));
  const auto read = file.read_tensor<bool, 1>("x");
  REQUIRE((!read(0) && read(1) && read(2)));
  REQUIRE(file.read_values<int>("x") == std::vector<int>{0, 1, 1});
}

TEST_CASE("what cannot be a tensor is refused before anything is written") {
  io::SafetensorsWriter writer;
  const auto x = values<float>({1, 2});
  writer.add("x", x);
  const auto bytes = std::as_bytes(std::span(x.data(), 2));
  require_error<ArgumentError>([&] { writer.add("x", x); }, "SafetensorsWriter: tensor 'x' added twice");
  require_error<ArgumentError>([&] { writer.add("y", Dtype::kF32, {3}, bytes); },
                               "SafetensorsWriter: tensor 'y' has 8 bytes, expected those of shape [3] of F32");
  require_error<ArgumentError>([&] { writer.add("y", Dtype::kF32, {-1}, bytes); },
                               "SafetensorsWriter: tensor 'y' has 8 bytes, expected those of shape [*] of F32");
  require_error<ArgumentError>([&] { writer.add("__metadata__", x); },
                               "SafetensorsWriter: '__metadata__' cannot name a tensor");
  require_error<ArgumentError>([&] { writer.add("\xff", x); }, "SafetensorsWriter: tensor name is not valid UTF-8");
  require_error<ArgumentError>([&] { writer.set_metadata("k", "\xff"); },
                               "SafetensorsWriter: metadata value is not valid UTF-8");
  REQUIRE(parse(writer.bytes()).names() == std::vector<std::string>{"x"});
}
