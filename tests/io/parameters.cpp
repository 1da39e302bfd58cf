// The parameters of a model: filled, or every fault in one message and nothing touched.

#include "lion/io/parameters.hpp"

#include "io/files.hpp"
#include "support/require_error.hpp"

using namespace lion;

namespace {

struct Model {
  std::vector<double> weight = std::vector<double>(6), bias = std::vector<double>(2);
  std::vector<io::TensorSlot<double>> slots() {
    return {{"fc.weight", {2, 3}, weight.data()}, {"fc.bias", {2}, bias.data()}};
  }
};

}  // namespace

TEST_CASE("parameters come back, in the stored type's precision") {
  const Folder folder;
  Model model;
  model.weight = {0.1, -0.2, 0.3, 1e10, 0, 5};
  model.bias = {1.0 / 3, -2};
  for (const auto dtype : {io::Dtype::kF64, io::Dtype::kF32, io::Dtype::kBF16, io::Dtype::kF16}) {
    io::save_parameters(folder / "m", model.slots(), {.metadata = {{"kind", "test"}}, .dtype = dtype});
    const auto file = io::SafetensorsFile::open(folder / "m");
    REQUIRE(file.metadata("kind") == "test");
    REQUIRE(file.names() == std::vector<std::string>{"fc.weight", "fc.bias"});
    REQUIRE(file.at("fc.bias").dtype == dtype);
    Model loaded;
    io::load_parameters(file, loaded.slots());
    const auto stored = [&](double x) -> double {
      switch (dtype) {
        case io::Dtype::kF32:
          return static_cast<float>(x);
        case io::Dtype::kBF16:
          return static_cast<float>(static_cast<bfloat16>(static_cast<float>(x)));
        case io::Dtype::kF16:
          return static_cast<float>(static_cast<half>(static_cast<float>(x)));
        default:
          return x;
      }
    };
    for (std::size_t i = 0; i < 6; ++i) REQUIRE(loaded.weight[i] == stored(model.weight[i]));
    for (std::size_t i = 0; i < 2; ++i) REQUIRE(loaded.bias[i] == stored(model.bias[i]));
  }
  io::save_parameters(folder / "m", model.slots());
  REQUIRE(io::SafetensorsFile::open(folder / "m").at("fc.bias").dtype == io::Dtype::kF64);
  require_error<ArgumentError>([&] { io::save_parameters(folder / "m", model.slots(), {.dtype = io::Dtype::kI64}); },
                               "save_parameters: dtype is I64, expected F16, BF16, F32 or F64");
}

TEST_CASE("constant parameters can be saved, shared ones loaded twice") {
  const Folder folder;
  const std::vector<float> values{1, 2};
  io::save_parameters(folder / "m", std::vector<io::TensorSlot<const float>>{{"x", {2}, values.data()}});
  std::vector<float> a(2), b(2);
  const std::vector<io::TensorSlot<float>> slots{{"x", {2}, a.data()}, {"x", {2}, b.data()}};
  const auto file = io::SafetensorsFile::open(folder / "m");
  io::load_parameters(file, slots);
  REQUIRE(a == values);
  REQUIRE(b == values);
  require_error<ArgumentError>([&] { io::save_parameters(folder / "m", slots); },
                               "SafetensorsWriter: tensor 'x' added twice");
}

TEST_CASE("all faults are listed by name in one error, and nothing is written") {
  const Tensor<double, 2> square({2, 2});
  const Tensor<std::int64_t, 1> integers(Shape<1>{2});
  io::SafetensorsWriter writer;
  writer.add("surplus", square);
  writer.add("fc.weight", square);
  writer.add("fc.bias", integers);
  writer.add("extra", square);
  const auto bytes = writer.bytes();
  const auto file = io::SafetensorsFile::from_bytes(bytes, "m");
  Model model;
  model.weight.assign(6, 7);
  double other = 7;
  auto slots = model.slots();
  slots.push_back({"norm.weight", {1}, &other});
  slots.push_back({"cls_token", {1}, &other});
  slots.push_back({"cls_token", {1}, &other});

  const std::string missing = "missing tensors: 'cls_token', 'norm.weight'";
  const std::string unexpected = "unexpected tensors: 'extra', 'surplus'";
  const std::string misshapen = "misshapen tensors: 'fc.weight' has shape [2,2], expected [2,3]";
  const std::string mistyped = "mistyped tensors: 'fc.bias' is I64, expected F16, BF16, F32 or F64";
  const std::string m = "load_parameters: m: ";
  require_error<FileError>([&] { io::load_parameters(file, slots); },
                           m + missing + "; " + unexpected + "; " + misshapen + "; " + mistyped);
  require_error<FileError>([&] { io::load_parameters(file, slots, {.allow_missing = true}); },
                           m + unexpected + "; " + misshapen + "; " + mistyped);
  require_error<FileError>([&] { io::load_parameters(file, slots, {.allow_unexpected = true}); },
                           m + missing + "; " + misshapen + "; " + mistyped);
  require_error<FileError>(
      [&] {
        io::load_parameters(file, slots, {.ignored = {"extra", "cls_token"}});
      },
      m + missing + "; unexpected tensors: 'surplus'; " + misshapen + "; " + mistyped);
  REQUIRE(model.weight == std::vector<double>(6, 7));

  // With leave, what is there is read and the rest stays.
  double extra[4] = {7, 7, 7, 7};
  const std::vector<io::TensorSlot<double>> some{{"extra", {2, 2}, extra}, {"norm.weight", {1}, &other}};
  io::load_parameters(file, some, {.allow_missing = true, .allow_unexpected = true});
  REQUIRE(extra[3] == 0);
  REQUIRE(other == 7);
}
