// Files that the reference implementation of safetensors wrote.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "io/files.hpp"
#include "lion/io/parameters.hpp"
#include "support/catch.hpp"

using namespace lion;

namespace {
io::SafetensorsFile golden(const char* name) {
  return io::SafetensorsFile::open(std::filesystem::path(LION_GOLDEN_DIR) / (std::string(name) + ".safetensors"));
}
}  // namespace

TEST_CASE("an operator's file: metadata, three types, two orders") {
  const auto file = golden("op-selective-curves");
  REQUIRE(file.metadata("mask") == "selective");
  REQUIRE(file.metadata("normalise") == "True");
  REQUIRE(file.metadata("orders") == "2");
  REQUIRE(file.tensors().front().name == "q");
  const auto q = file.read_tensor<double, 4>("q", {2, 2, 50, 16});
  const auto y = file.view<double, 4>("y", {2, 2, 50, 16});
  REQUIRE(y);
  const auto as_float = file.view<float, 4>("q");
  REQUIRE(as_float);
  for (Index l = 0; l < 50; ++l) REQUIRE(q(1, 1, l, 15) == as_float(1, 1, l, 15));
  for (const char* name : {"order", "order2"}) {
    auto order = file.read_values<Index>(name);
    std::sort(order.begin(), order.end());
    std::vector<Index> identity(50);
    std::iota(identity.begin(), identity.end(), 0);
    REQUIRE(order == identity);
  }
  for (const float l : file.read_values<float>("log_lambda")) REQUIRE(l <= 0);
  for (const double value : file.read_values<double>("y")) REQUIRE(std::isfinite(value));
}

TEST_CASE("a mask of booleans") {
  const auto file = golden("op-selective-empty");
  const auto& info = file.at("key_mask");
  REQUIRE(info.dtype == io::Dtype::kBool);
  const auto mask = file.read_tensor<bool, 2>("key_mask");
  const auto numbers = file.read_values<int>("key_mask");
  Index seen = 0;
  for (Index i = 0; i < mask.size(); ++i) {
    REQUIRE(mask.data()[i] == (numbers[static_cast<std::size_t>(i)] == 1));
    seen += mask.data()[i];
  }
  REQUIRE(seen > 0);
  REQUIRE(seen < mask.size());
}

TEST_CASE("a model's weights into slots, and out again as they were") {
  const auto file = golden("vision-decay-curve.weights");
  const auto expected = golden("vision-decay-curve.expected");
  std::vector<std::vector<float>> memory;
  std::vector<io::TensorSlot<float>> slots;
  for (const auto& info : file.tensors()) {
    memory.emplace_back(static_cast<std::size_t>(info.size()));
    slots.push_back({info.name, info.shape, memory.back().data()});
    REQUIRE(expected.at("grad." + info.name).shape == info.shape);
  }
  REQUIRE(slots.size() > 30);
  io::load_parameters(file, slots);
  const Folder folder;
  io::save_parameters(folder / "copy", slots, {.metadata = file.metadata()});
  const auto copy = io::SafetensorsFile::open(folder / "copy");
  REQUIRE(copy.metadata() == file.metadata());
  REQUIRE(copy.names() == file.names());
  for (const auto& info : file.tensors()) {
    const auto& other = copy.at(info.name);
    REQUIRE(std::equal(info.bytes.begin(), info.bytes.end(), other.bytes.begin(), other.bytes.end()));
  }
}
