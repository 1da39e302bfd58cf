#include <cmath>
#include <limits>

#include "differences.hpp"
#include "lion/io/model.hpp"
#include "lion/model/vision.hpp"
#include "lion/nn/gelu.hpp"
#include "lion/nn/query_key_value.hpp"
#include "support/packed_rounding.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;
using cpu::WeightType;

namespace {

constexpr WeightType kTypes[] = {WeightType::float32, WeightType::bfloat16, WeightType::int8};

}  // namespace

TEST_CASE("packed weights: the product of what is rounded, at sizes around blocks, strips and tasks") {
  for (const WeightType type : kTypes) {
    for (const auto& [n, in, out] : {Shape<3>{1, 64, 64},
                                     {3, 129, 65},
                                     {16, 70, 257},
                                     {97, 200, 96},
                                     {17, 1700, 64},
                                     {210, 65, 800},
                                     {530, 64, 70}}) {
      INFO("type " << static_cast<int>(type) << ", " << n << " rows, " << in << " to " << out);
      nn::Linear<float> layer("l", in, out);
      fill(layer, 1, 1);
      auto weight = layer.weight.value.clone();
      for (Index o = 0; o < out; ++o) test::round(type, false, weight.data() + o * in, in);
      layer.weight.pack(type);
      REQUIRE(layer.weight.value.size() == 0);
      // Rows apart, and NaN where nothing may be read or written.
      auto wide = tensor<float, 2>({n, in + 9}, 3);
      for (Index t = 0; t < n; ++t) std::fill_n(wide.view().at(t, in), 9, std::nanf(""));
      const View<const float, 2> x(wide.data(), {n, in}, {in + 9, 1});
      Tensor<float, 2> all({n, out + 5}), plain({n, out});
      all.fill(std::nanf(""));
      const View<float, 2> y(all.data(), {n, out}, {out + 5, 1});
      const auto residual = tensor<float, 2>({n, out}, 4);
      for (Index t = 0; t < n; ++t) std::copy_n(residual.view().at(t), out, y.at(t));
      layer.forward(x, plain, {}, {}, [](float* row, Index width) {
        for (Index i = 0; i < width; ++i) row[i] *= 2;
      });
      layer.forward(x, y, {}, y);
      for (Index t = 0; t < n; ++t) {
        std::vector<float> row(x.at(t), x.at(t) + in);
        if (cpu::converts_rows(type)) test::round(type, true, row.data(), in);
        for (Index o = 0; o < out; ++o) {
          double expected = layer.bias.value(o), size = 1;
          for (Index i = 0; i < in; ++i) {
            const double term = static_cast<double>(row[static_cast<std::size_t>(i)]) * weight(o * in + i);
            expected += term;
            size += std::abs(term);
          }
          REQUIRE(std::abs(y(t, o) - (expected + residual(t, o))) < 1e-6 * size);
          REQUIRE(std::abs(plain(t, o) - 2 * expected) < 2e-6 * size);
        }
        for (Index o = 0; o < 5; ++o) REQUIRE(std::isnan(all(t, out + o)));
      }
    }
  }
}

TEST_CASE("packed weights: layers side by side, the same bits for any number of threads") {
  for (const WeightType type : kTypes) {
    nn::QueryKeyValue<float> layer("l", 256);
    fill(layer, 1, 1);
    const auto x = tensor<float, 2>({150, 256}, 2);
    Tensor<float, 2> plain({150, 768}), y({150, 768}), again({150, 768});
    layer.forward(x, plain, {});
    layer.for_each_parameter([&](nn::Parameter<float>& p) { p.pack(type); });
    layer.forward(x, y, {});
    const float tolerance = type == WeightType::float32 ? 1e-5f : type == WeightType::bfloat16 ? 0.1f : 0.3f;
    for (Index i = 0; i < y.size(); ++i) REQUIRE(std::abs(y.data()[i] - plain.data()[i]) < tolerance);
    for (const Index threads : {2, 3, 7}) {  // other parts of the outputs
      ThreadPool pool(threads);
      layer.forward(x, again, pool);
      REQUIRE(std::equal(y.data(), y.data() + y.size(), again.data()));
    }
  }
}

TEST_CASE("what is not finite stays so, and the tiny does no harm") {
  for (const WeightType type : kTypes) {
    nn::Linear<float> layer("l", 100, 64);
    fill(layer, 1, 1);
    layer.weight.value(100 * 7 + 3) = std::nanf("");
    for (Index i = 0; i < 100; ++i) layer.weight.value(100 * 9 + i) = 1e-44f;
    layer.weight.pack(type);
    auto x = tensor<float, 2>({4, 100}, 2);
    x(1, 5) = std::nanf("");
    x(2, 99) = std::numeric_limits<float>::infinity();
    for (Index i = 0; i < 100; ++i) x(3, i) = 1e-40f;
    Tensor<float, 2> y({4, 64});
    layer.forward(x, y, {});
    for (Index o = 0; o < 64; ++o) {
      INFO("type " << static_cast<int>(type) << ", output " << o);
      REQUIRE(std::isfinite(y(0, o)) == (o != 7));
      REQUIRE(std::isnan(y(1, o)));
      REQUIRE_FALSE(std::isfinite(y(2, o)));
      if (o != 7) REQUIRE(std::abs(y(3, o) - layer.bias.value(o)) < 1e-30);
    }
    REQUIRE(std::abs(y(0, 9) - layer.bias.value(9)) < 1e-30);
  }
}

TEST_CASE("rows of zeros and weights of zeros have no scale") {
  nn::Linear<float> layer("l", 64, 64);
  layer.weight.pack(WeightType::int8);
  const auto x = tensor<float, 2>({2, 64}, 1);
  Tensor<float, 2> zeros({2, 64}), y({2, 64});
  for (const auto* rows : {&x, &std::as_const(zeros)}) {
    y.fill(1);
    layer.forward(*rows, y, {});
    for (Index i = 0; i < y.size(); ++i) REQUIRE(y.data()[i] == 0);
  }
}

#ifdef LION_BFLOAT16_BLOCKS
TEST_CASE("tile registers, dot products and multiply-adds of floats agree") {
  const auto x = tensor<float, 2>({32, 96}, 1), w = tensor<float, 2>({32, 96}, 2);
  const cpu::PackedMatrix packed(w.data(), 32, 96, WeightType::bfloat16);
  alignas(64) std::uint16_t rows[32 * 96];
  for (Index t = 0; t < 32; ++t) {
    for (Index s = 0; s < 3; ++s) {
      cpu::Bfloat16Dots::convert(&x(t, 32 * s), 32, 1, rows + (t / 16 * 3 + s) * 512 + t % 16 * 32);
    }
  }
  alignas(64) float by_floats[32 * 32], sums[32 * 32];
  const auto* blocks = packed.blocks<std::uint16_t>(0);
  const std::uint16_t* const second = rows + 3 * 512;
  const auto multiply = [&](float* to, auto&& step) {
    for (Index tile = 0; tile < 2; ++tile) {
      cpu::detail::multiply_rows(rows + tile * 3 * 512, blocks, blocks, 3, to + tile * 16 * 32, 32, false, step);
    }
  };
  multiply(by_floats, cpu::detail::FloatStep());
  const auto compare = [&](Index count) {
    for (Index i = 0; i < count; ++i) REQUIRE(sums[i] == Approx(by_floats[i]).epsilon(1e-5).margin(1e-5));
  };
  multiply(sums, cpu::detail::DotStep());
  compare(32 * 32);
  cpu::multiply_blocks(rows, second, blocks, blocks, 3, sums);
  cpu::multiply_blocks(rows, second, blocks, blocks, 3, sums, 32, true);
  for (float& value : by_floats) value *= 2;
  compare(32 * 32);
#ifdef LION_TILE_REGISTERS
  if (!cpu::tile_registers()) return;
  for (float& value : by_floats) value /= 2;
  for (const std::uint16_t* more : {second, static_cast<const std::uint16_t*>(nullptr)}) {
    const cpu::TileScope scope;
    std::fill_n(sums, 32 * 32, std::nanf(""));
    cpu::multiply_tiles<cpu::Bfloat16Dots>({rows, more}, blocks, blocks, 3, sums);
    compare(more ? 32 * 32 : 16 * 32);
  }
#endif
}
#endif

#ifdef LION_INT8_DOTS
TEST_CASE("dot products of int8 are exact, whatever the signs") {
  constexpr Index steps = 2, in = 64 * steps;
  std::vector<float> weights(32 * in);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = static_cast<float>(i % in < 2 ? (i % 2 ? -127 : 127) : static_cast<int>(i * 89 % 255) - 127);
  }
  const cpu::PackedMatrix packed(weights.data(), 32, in, WeightType::int8);
  alignas(64) std::int8_t rows[32 * in];
  std::vector<float> x(32 * in);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 53 % 255) - 127);
  for (Index t = 0; t < 32; ++t) {
    for (Index s = 0; s < steps; ++s) {
      cpu::RaisedInt8Dots::convert(x.data() + t * in + 64 * s, 64, 1, rows + (t / 16 * steps + s) * 1024 + t % 16 * 64);
    }
  }
  const auto* blocks = packed.blocks<std::int8_t>(0);
  alignas(64) std::int32_t sums[32 * 32];
  alignas(64) std::int32_t lowered[32];
  cpu::lower_sums(blocks, steps, lowered);
  cpu::multiply_blocks(rows, rows + steps * 1024, blocks, blocks, steps, lowered, sums, 32);
  for (Index t = 0; t < 32; ++t) {
    for (Index o = 0; o < 32; ++o) {
      double expected = 0;
      for (Index i = 0; i < in; ++i) expected += x[t * in + i] * weights[o * in + i];
      REQUIRE(sums[t * 32 + o] == static_cast<std::int32_t>(expected));
    }
  }
}
#endif

TEST_CASE("a packed model infers, and neither trains nor is saved") {
  model::VisionConfig config;
  config.image_size = 32, config.patch_size = 8, config.embed_dim = 128, config.num_heads = 2, config.depth = 2;
  config.num_classes = 10, config.mask_type = "selective";
  const auto images = tensor<float, 4>({3, 3, 32, 32}, 1);
  model::Vision<float> plain(config);
  const Index count = plain.parameter_count();
  Tensor<float, 2> expected({3, 10}), logits({3, 10});
  plain.forward(images.view(), expected.view());
  float largest = 0;
  for (Index i = 0; i < 30; ++i) largest = (std::max)(largest, std::abs(expected.data()[i]));
  for (const WeightType type : kTypes) {
    model::Vision<float> packed(config);
    packed.pack(type);
    REQUIRE(packed.parameter_count() == count);
    packed.forward(images.view(), logits.view());
    const float tolerance = type == WeightType::float32 ? 1e-5f : type == WeightType::bfloat16 ? 0.02f : 0.06f;
    for (Index i = 0; i < 30; ++i) REQUIRE(std::abs(logits.data()[i] - expected.data()[i]) < tolerance * largest);
    require_error<ArgumentError>(
        [&] { packed.forward_train(images.view(), logits.view()); },
        "patch_embed.proj.weight is packed, expected it not to be: packed weights are for inference");
    require_error<ArgumentError>([&] { io::save_weights("packed.safetensors", packed); },
                                 "patch_embed.proj.weight has 0 values, expected 24576: a packed model is neither "
                                 "loaded nor saved");
  }
}

TEST_CASE("layers side by side are packed alike, and packed once") {
  nn::QueryKeyValue<float> layer("l", 64);
  const auto x = tensor<float, 2>({3, 64}, 2);
  Tensor<float, 2> y({3, 192}), dx({3, 64});
  layer.parts[0].weight.pack(WeightType::float32);
  const std::string apart = "l.key.weight is not packed as l.query.weight is, expected layers side by side to be alike";
  require_error<ArgumentError>([&] { layer.forward(x, y, {}); }, apart);
  layer.parts[1].weight.pack(WeightType::int8);
  require_error<ArgumentError>([&] { layer.forward(x, y, {}); }, apart);
  layer.parts[1].weight.pack(WeightType::int8);  // it is
  const std::string packed = " is packed, expected it not to be: packed weights are for inference";
  require_error<ArgumentError>([&] { layer.parts[1].weight.pack(WeightType::bfloat16); }, "l.key.weight" + packed);
  require_error<ArgumentError>([&] { layer.backward_input(y, dx, {}); }, "l.query.weight" + packed);
  require_error<ArgumentError>([&] { layer.initialise(nn::PlacedRandom(0, 0)); }, "l.query.weight" + packed);
}

TEST_CASE("small matrices, and what no linear layer multiplies by, stay as they are") {
  nn::Linear<float> few("l", 64, 63), narrow("l", 63, 64);
  few.weight.pack(WeightType::bfloat16);
  narrow.weight.pack(WeightType::bfloat16);
  nn::Parameter<float> table("t", {64, 64}, true);
  table.pack(WeightType::bfloat16);
  for (const auto* p : {&few.weight, &narrow.weight, &table}) {
    REQUIRE(p->packed.empty());
    REQUIRE(p->size() == nn::Parameter<float>::count_of(p->shape));
  }
}
