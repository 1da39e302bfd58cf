#include "differences.hpp"
#include "lion/nn/patch_embedding.hpp"
#include "lion/nn/position_embedding.hpp"
#include "support/require_error.hpp"

using namespace lion;
using namespace nn_test;

TEST_CASE("patch embedding is the strided convolution, also over strided views and grids that are not square") {
  const Index channels = 2, patch = 3, width = 5, prefix = 2;
  nn::PatchEmbedding<double> layer("patch_embed", channels, patch, width, prefix);
  fill(layer, 1, 1);
  REQUIRE(layer.proj.weight.shape == std::vector<Index>{5, 2, 3, 3});
  REQUIRE(layer.proj.weight.name == "patch_embed.proj.weight");
  const auto whole = tensor<double, 4>({2, 9, 12, channels}, 3);  // channels last
  const View<const double, 4> images(whole.data(), {2, channels, 9, 12},
                                     {9 * 12 * channels, 1, 12 * channels, channels});
  REQUIRE(layer.tokens(images.shape()) == 2 + 3 * 4);
  Tensor<double, 2> unfolded({2 * 14, 18}), tokens({2 * 14, width});
  unfolded.fill(std::nan(""));
  layer.unfold(images, unfolded, {});
  layer.forward(unfolded, tokens, {});
  for (Index b = 0; b < 2; ++b) {
    for (Index place = 0; place < 12; ++place) {
      for (Index o = 0; o < width; ++o) {
        double sum = layer.proj.bias.value(o);
        for (Index c = 0; c < channels; ++c) {
          for (Index i = 0; i < patch * patch; ++i) {
            sum += layer.proj.weight.value((o * channels + c) * patch * patch + i) *
                   images(b, c, place / 4 * patch + i / patch, place % 4 * patch + i % patch);
          }
        }
        REQUIRE(tokens(b * 14 + prefix + place, o) == Approx(sum).epsilon(1e-12));
      }
    }
  }
  // gradients: rows of the prefix are zero in both
  auto dtokens = tensor<double, 2>({2 * 14, width}, 4);
  for (Index b = 0; b < 2; ++b) std::fill_n(&dtokens(b * 14, 0), prefix * width, 0.0);
  layer.backward(dtokens, unfolded, {});
  require_parameter_gradients(layer, [&] {
    layer.forward(unfolded, tokens, {});
    return inner(tokens, dtokens);
  });
}

TEST_CASE("tokens of the prefix may stand amid the patches") {
  nn::PatchEmbedding<double> front("p", 1, 2, 3, 1), middle("p", 1, 2, 3, 1, nn::PrefixPlace::middle);
  const auto images = tensor<double, 4>({2, 1, 6, 10}, 1);  // 15 patches
  Tensor<double, 2> before({32, 4}), amid({32, 4});
  amid.fill(std::nan(""));
  front.unfold(images, before, {});
  middle.unfold(images, amid, {});
  REQUIRE(front.prefix_row(16) == 0);
  REQUIRE(middle.prefix_row(16) == 7);
  for (Index b = 0; b < 2; ++b) {
    for (Index t = 0; t < 16; ++t) {
      for (Index i = 0; i < 4; ++i) {
        const double expected = t == 7 ? 0 : before(b * 16 + (t < 7 ? t + 1 : t), i);
        REQUIRE(amid(b * 16 + t, i) == expected);
      }
    }
  }
}

TEST_CASE("images that are no grid of patches are refused") {
  const nn::PatchEmbedding<float> layer("p", 3, 4, 8);
  layer.check("vision", {0, 3, 4, 8});
  require_error<ArgumentError>(
      [&] {
        layer.check("vision", {1, 1, 4, 4});
      },
      "vision: images has shape [1,1,4,4], expected [*,3,*,*]");
  require_error<ArgumentError>(
      [&] {
        layer.check("vision", {1, 3, 4, 6});
      },
      "vision: images has shape [1,3,4,6], expected height and width to be positive multiples "
      "of the patch size 4");
  REQUIRE_THROWS_AS(layer.check("vision", {1, 3, 0, 4}), ArgumentError);
}

namespace {
std::vector<double> resampled(const Tensor<double, 2>& in, Index rows, Index cols, Index to_rows, Index to_cols) {
  Workspace workspace;
  Arena counting;
  nn::GridResampling<double>(rows, cols, to_rows, to_cols, in.extent(1), counting);
  workspace.reserve(counting.used());
  Arena arena = workspace.arena();
  const nn::GridResampling<double> grid(rows, cols, to_rows, to_cols, in.extent(1), arena);
  std::vector<double> out(static_cast<std::size_t>(to_rows * to_cols * in.extent(1)), std::nan(""));
  grid.forward(in.data(), out.data());
  return out;
}
}  // namespace

TEST_CASE("bicubic resampling gives what Pillow's does, from which PyTorch's antialiased one comes") {
  Tensor<double, 2> in({5 * 7, 1});
  for (Index y = 0; y < 5; ++y) {
    for (Index x = 0; x < 7; ++x) in(y * 7 + x, 0) = static_cast<double>((3 * y + 5 * x + y * x) % 11);
  }
  // Image.fromarray(in).resize((3, 4), BICUBIC)
  const std::vector<double> shrunk{4.404956, 7.085307, 5.351224, 5.478081, 6.203168, 3.818726,
                                   5.860385, 3.688815, 4.913868, 6.44235,  5.650016, 2.00203};
  // Image.fromarray(in).resize((9, 8), BICUBIC)
  const std::vector<double> grown{
      -0.4491473,  2.719623, 7.890342, 9.510642, 3.568266,   8.567732, 5.807053, 4.36617,  8.377192,
      0.7541288,   5.003747, 7.57072,  7.258138, 6.620505,   7.850498, 3.7378,   2.865179, 7.590317,
      2.919714,    7.370021, 6.831999, 4.846099, 9.989624,   6.063875, 1.484792, 1.714059, 6.142786,
      5.124896,    3.87262,  5.487628, 8.098845, 6.931763,   2.073703, 3.791422, 5.841257, 4.562604,
      7.537254,    3.636239, 4.56041,  7.135253, 3.068237,   2.369538, 5.9559,   6.794952, 3.161988,
      9.27485,     7.006165, 4.531092, 2.228301, 0.01037598, 6.597729, 6.984684, 4.028447, 1.979076,
      4.105239,    7.442973, 7.798294, 5.071692, 3.379495,   5.636791, 4.582535, 2.072746, 0.5779117,
      -0.04255552, 7.25514,  10.23966, 7.946525, 6.431734,   4.278522, 2.597611, 1.026687, -0.2351798};
  const auto down = resampled(in, 5, 7, 4, 3), up = resampled(in, 5, 7, 8, 9);
  for (std::size_t i = 0; i < shrunk.size(); ++i) REQUIRE(down[i] == Approx(shrunk[i]).epsilon(1e-6).margin(1e-6));
  for (std::size_t i = 0; i < grown.size(); ++i) REQUIRE(up[i] == Approx(grown[i]).epsilon(1e-6).margin(1e-6));
  REQUIRE(down.size() == shrunk.size());
  REQUIRE(up.size() == grown.size());
}

TEST_CASE("resampling keeps constants, and to the same size everything") {
  const auto in = tensor<double, 2>({4 * 6, 3}, 1);
  const auto same = resampled(in, 4, 6, 4, 6);
  for (Index i = 0; i < in.size(); ++i)
    REQUIRE(same[static_cast<std::size_t>(i)] == Approx(in.data()[i]).margin(1e-14));
  Tensor<double, 2> constant({4 * 6, 3});
  constant.fill(2.5);
  for (const auto& [rows, cols] : {Shape<2>{1, 1}, {2, 9}, {17, 3}}) {
    for (const double v : resampled(constant, 4, 6, rows, cols)) REQUIRE(v == Approx(2.5).epsilon(1e-13));
  }
}

TEST_CASE("positions with a prefix amid them are those with it before, in another order, on any grid") {
  const Index width = 3;
  using Positions = nn::PositionEmbedding<double>;
  for (const auto& [rows, cols] : {Shape<2>{3, 3}, {5, 4}, {2, 2}}) {
    Positions front("pos_embed", 3, width, 1), middle("pos_embed", 3, width, 1, nn::PrefixPlace::middle);
    fill(front, 1, 1);
    fill(middle, 2, 1);
    const auto move = [&](const double* from, double* to, Index points) {  // the prefix's row, to row points / 2
      std::copy_n(from + width, points / 2 * width, to);
      std::copy_n(from, width, to + points / 2 * width);
      std::copy_n(from + (points / 2 + 1) * width, (points - points / 2) * width, to + (points / 2 + 1) * width);
    };
    move(front.position.value.data(), middle.position.value.data(), 9);
    Workspace workspace;
    workspace.reserve(10000);
    Arena arena = workspace.arena();
    const Positions::OnGrid a(front, rows, cols, arena), b(middle, rows, cols, arena);
    const Index points = rows * cols;
    std::vector<double> moved(static_cast<std::size_t>((points + 1) * width));
    move(a.values(front), moved.data(), points);
    REQUIRE(std::equal(moved.begin(), moved.end(), b.values(middle)));
    const auto dy = tensor<double, 2>({points + 1, width}, 4);
    Tensor<double, 2> dmoved(dy.shape());
    move(dy.data(), dmoved.data(), points);
    a.backward(front, dy, {});
    b.backward(middle, dmoved, {});
    std::vector<double> gradient(30);
    move(front.position.grad.data(), gradient.data(), 9);
    for (Index i = 0; i < 30; ++i) REQUIRE(middle.position.grad(i) == Approx(gradient[static_cast<std::size_t>(i)]));
  }
}

TEST_CASE("positions: added to every sample, the prefix untouched by resampling; gradients on any grid") {
  const Index width = 3, prefix = 1;
  for (const auto& [rows, cols] : {Shape<2>{3, 3}, {5, 4}, {2, 2}}) {
    nn::PositionEmbedding<double> layer("pos_embed", 3, width, prefix);
    fill(layer, 1, 1);
    REQUIRE(layer.position.shape == std::vector<Index>{1, 10, 3});
    using OnGrid = nn::PositionEmbedding<double>::OnGrid;
    Arena counting;
    OnGrid(layer, rows, cols, counting);
    Workspace workspace;
    workspace.reserve(counting.used() + 64);
    Arena arena = workspace.arena();
    const OnGrid grid(layer, rows, cols, arena);
    const Index length = prefix + rows * cols;
    const auto start = tensor<double, 2>({2 * length, width}, 3), dy = tensor<double, 2>({2 * length, width}, 4);
    Tensor<double, 2> tokens({2 * length, width});
    const auto f = [&] {
      tokens = start.clone();
      nn::PositionEmbedding<double>::add(grid.values(layer), length, tokens, {});
      return inner(tokens, dy);
    };
    f();
    for (Index c = 0; c < width; ++c) {
      REQUIRE(tokens(length, c) - start(length, c) == Approx(layer.position.value(c)));
      REQUIRE(tokens(length + 3, c) - start(length + 3, c) == Approx(tokens(3, c) - start(3, c)));
      if (rows == 3) REQUIRE(tokens(3, c) - start(3, c) == Approx(layer.position.value(3 * width + c)));
    }
    grid.backward(layer, dy, {});
    require_parameter_gradients(layer, f);
  }
}
