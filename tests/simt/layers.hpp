#pragma once
/// Each layer's kernels against the layer on the CPU, on random shapes: rows of whole packs and not, one token and
/// many.

#include "lion/nn/cuda/decays.hpp"
#include "lion/nn/cuda/features.hpp"
#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/linear.hpp"
#include "lion/nn/cuda/mlp.hpp"
#include "lion/nn/cuda/patches.hpp"
#include "lion/nn/cuda/pool.hpp"
#include "lion/nn/mlp.hpp"
#include "lion/nn/patch_embedding.hpp"
#include "simt/queue.hpp"
#include "support/attention_errors.hpp"
#include "support/attention_random.hpp"

namespace lion::test {

/// Of a layer: float is held to float's rounding, storage of 16 bits to its own.
template <class T>
constexpr double layer_limit() {
  return std::same_as<T, float> ? 2e-6 : std::same_as<T, half> ? 2e-3 : 1e-2;
}

/// A matrix [N,C] whose rows lie `gap` entries apart, in T and as the CPU sees the same values. Poisoned until filled.
template <class T>
class Matrix {
 public:
  Matrix(Index rows, Index cols, Index gap = 0)
      : values_({rows * (cols + gap)}), exact_({rows, cols}), strides_{cols + gap, 1} {
    values_.fill(static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
  }
  Matrix(Random& random, Index rows, Index cols, Index gap = 0, double bound = 2) : Matrix(rows, cols, gap) {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        view()(i, j) = static_cast<T>(static_cast<float>(random.uniform(-bound, bound)));
        exact_(i, j) = static_cast<float>(view()(i, j));
      }
    }
  }
  View<T, 2> view() { return {values_.data(), exact_.shape(), strides_}; }
  View<const T, 2> seen() { return view(); }
  Tensor<float, 2>& exact() { return exact_; }

  /// ‖this − wanted‖ / ‖wanted‖.
  double error(const View<const float, 2>& wanted) {
    std::vector<double> got, truth;
    for (Index i = 0; i < wanted.extent(0); ++i) {
      for (Index j = 0; j < wanted.extent(1); ++j) {
        got.push_back(static_cast<double>(view()(i, j)));
        truth.push_back(wanted(i, j));
      }
    }
    return relative_error(got, truth);
  }

 private:
  Tensor<T, 1> values_;  // aligned, as memory of a device is
  Tensor<float, 2> exact_;
  Shape<2> strides_;
};

/// Random weights that T holds, of a layer on the CPU.
template <class T, class Layer>
std::vector<const nn::Parameter<float>*> draw(Random& random, Layer& layer) {
  std::vector<const nn::Parameter<float>*> all;
  layer.for_each_parameter([&](nn::Parameter<float>& p) {
    for (Index i = 0; i < p.size(); ++i) {
      p.value(i) = static_cast<float>(static_cast<T>(static_cast<float>(random.uniform(-1, 1))));
    }
    all.push_back(&p);
  });
  return all;
}

template <class T, class F>
auto uploaded(HeapMemory& memory, const std::vector<const nn::Parameter<float>*>& parameters, F&& make) {
  return cuda::upload<T>(parameters, memory, make);
}

template <class T>
void check_rows(Random& random, Index tokens, Index width) {
  const Queue queue{{static_cast<unsigned>(tokens)}};
  HeapMemory memory;
  const Executor executor;
  {
    nn::LayerNorm<float> host("norm", width);
    const auto parameters = draw<T>(random, host);
    const auto norm =
        uploaded<T>(memory, parameters, [](cuda::WeightImage<T>& image) { return cuda::LayerNorm<T>(image, "norm"); });
    Matrix<T> x(random, tokens, width, random.pick<Index>({0, 3, 8})), y(tokens, width, 8);
    norm.forward(queue, x.seen(), y.view());
    host.forward(x.exact(), x.exact(), executor);
    CHECK(y.error(x.exact()) <= layer_limit<T>());
    norm.forward(queue, x.seen(), x.view());  // in place
    CHECK(x.error(x.exact()) <= layer_limit<T>());
  }
  {
    const Index out = 1 + random.below(90);
    nn::Linear<float> host("linear", width, out);
    const auto parameters = draw<T>(random, host);
    const auto linear = uploaded<T>(
        memory, parameters, [&](cuda::WeightImage<T>& image) { return cuda::Linear<T>(image, "linear", width); });
    Matrix<T> x(random, tokens, width, 1), y(tokens, out), sum(random, tokens, out, 5);
    Tensor<float, 2> wanted({tokens, out});
    host.forward(x.exact(), wanted, executor);
    linear.forward(queue, x.seen(), y.view());
    CHECK(y.error(wanted) <= layer_limit<T>());
    host.forward(x.exact(), sum.exact(), executor, sum.exact());
    linear.forward(queue, x.seen(), sum.view(), sum.seen());
    CHECK(sum.error(sum.exact()) <= layer_limit<T>());
  }
  {
    nn::Mlp<float> host("mlp", width, 3 * width);
    const auto parameters = draw<T>(random, host);
    const auto mlp = uploaded<T>(memory, parameters, [&](cuda::WeightImage<T>& image) {
      return cuda::Mlp<T>(image, "mlp.fc1", "mlp.fc2", width);
    });
    Matrix<T> x(random, tokens, width, 0), y(random, tokens, width), wide(tokens, 3 * width);
    std::vector<float> scratch(static_cast<std::size_t>(host.scratch_size(tokens)));
    host.forward(x.exact(), y.exact(), y.exact(), scratch.data(), executor);
    mlp.forward(queue, x.seen(), y.view(), wide.view().data());
    CHECK(y.error(y.exact()) <= layer_limit<T>());
  }
  {
    std::vector<Index> rows{tokens - 1, 0, tokens / 2};
    Matrix<T> x(random, tokens, width), out(3, width), mean(1, width);
    cuda::gather_rows(queue, x.seen(), rows.data(), out.view());
    cuda::mean(queue, x.seen(), mean.view());
    Tensor<float, 2> wanted({3, width}), average({1, width});
    for (Index c = 0; c < width; ++c) {
      for (Index r = 0; r < 3; ++r) wanted(r, c) = x.exact()(rows[static_cast<std::size_t>(r)], c);
      for (Index t = 0; t < tokens; ++t) average(0, c) += x.exact()(t, c) / static_cast<float>(tokens);
    }
    CHECK(out.error(wanted) == 0);
    CHECK(mean.error(average) <= layer_limit<T>());
  }
}

template <class T, class M>
void check_attention(Random& random, Index samples, Index length, Index heads, Index head, Index orders) {
  const Queue queue{{static_cast<unsigned>(length)}};
  const Executor executor;
  const Index tokens = samples * length, width = heads * head;
  nn::DecayOptions options{{"a"}, random.below(2), random.pick({0.0, 0.25})};
  if (orders == 2) options.names.push_back("b");
  nn::LionAttention<float, M> host(options, width, heads);
  const auto parameters = draw<T>(random, host);
  HeapMemory memory;
  const auto decays = uploaded<T>(
      memory, parameters, [&](cuda::WeightImage<T>& image) { return cuda::Decays<T, M>(image, options, heads); });
  Matrix<T> z(random, tokens, width, random.pick<Index>({0, 8})), qkv(random, tokens, 3 * width);
  const nn::TokenBatch batch{samples, length, {}};
  const auto size = static_cast<std::size_t>(host.decay_size(batch));
  std::vector<float> log_lambda(size), got(size, std::numeric_limits<float>::quiet_NaN());
  host.decays(z.exact(), batch, log_lambda.data(), executor);
  decays.forward(queue, z.seen(), length, got.data());
  for (Index r = 0; r < orders && M::decay != mask::DecayKind::none; ++r) {
    for (Index b = 0; b < samples; ++b) {
      for (Index h = 0; h < heads; ++h) {
        for (Index t = 0; t < length; ++t) {
          float here = 0, there = 0;
          const auto mask = decays.parameters(samples, length, r, got.data());
          if constexpr (M::decay == mask::DecayKind::per_head) {
            here = mask.log_decay(h);
            there = log_lambda[static_cast<std::size_t>(r * heads + h)];
          } else if constexpr (M::decay == mask::DecayKind::per_token) {
            here = mask.log_decay(b, h, t);
            there = log_lambda[static_cast<std::size_t>((r * tokens + b * length + t) * heads + h)];
          }
          REQUIRE(here == Approx(there).epsilon(1e-5).margin(1e-6));
        }
      }
    }
  }
  cuda::features<nn::VisionFeature<M>, T>(queue, qkv.view(), qkv.view(), heads);
  host.features(qkv.exact(), qkv.exact(), executor);
  CHECK(qkv.error(qkv.exact()) <= layer_limit<T>());
}

template <class T>
void check_patches(Random& random, Index patch, bool channels_last) {
  const Queue queue;
  const Index channels = 3, rows = 2, cols = 3, prefix = 1 + random.below(2), width = random.pick<Index>({5, 16});
  const Shape<4> shape{2, channels, rows * patch, cols * patch};
  const Shape<4> last{shape[1] * shape[2] * shape[3], 1, shape[1] * shape[3], shape[1]};
  Matrix<T> pixels(random, 1, count(shape));
  const Shape<4> strides = channels_last ? last : dense_strides(shape);
  const View<const T, 4> images(pixels.view().data(), shape, strides);
  const Index length = prefix + rows * cols, tokens = 2 * length;
  nn::PatchEmbedding<float> host("patch", channels, patch, width, prefix);
  Tensor<float, 2> unfolded({tokens, channels * patch * patch});
  host.unfold(View<const float, 4>(pixels.exact().data(), shape, strides), unfolded, {});
  Matrix<T> out(tokens, channels * patch * patch);
  cuda::unfold(queue, images, patch, prefix, out.view());
  CHECK(out.error(unfolded) == 0);

  Matrix<T> x(random, tokens, width);
  Matrix<float> special(random, prefix, width), positions(random, length, width);
  cuda::place(queue, x.view(), special.view().data(), positions.view().data(), length, prefix);
  for (Index t = 0; t < tokens; ++t) {
    const Index at = t % length;
    for (Index c = 0; c < width; ++c) {
      x.exact()(t, c) = (at < prefix ? special.exact()(at, c) : x.exact()(t, c)) + positions.exact()(at, c);
    }
  }
  CHECK(x.error(x.exact()) <= layer_limit<T>());
}

template <class T>
void check_layers(std::uint64_t seed) {
  Random random(seed);
  for (const auto& [tokens, width] : {std::pair<Index, Index>{1, 1}, {1, 24}, {9, 7}, {70, 40}, {3, 264}, {5, 33}}) {
    INFO("tokens " << tokens << ", width " << width);
    check_rows<T>(random, tokens, width);
  }
  for (const auto& [heads, head] : {std::pair<Index, Index>{1, 1}, {3, 8}, {2, 7}, {2, 64}, {1, 33}, {2, 128}}) {
    INFO("heads " << heads << " of width " << head);
    check_attention<T, mask::Linear>(random, 2, 5, heads, head, 1);
    check_attention<T, mask::Decay>(random, 1, 9, heads, head, 2);
    check_attention<T, mask::Selective>(random, 2, 1 + random.below(20), heads, head, 1 + random.below(2));
  }
  for (const Index patch : {1, 3, 8}) {
    check_patches<T>(random, patch, false);
    check_patches<T>(random, patch, true);
  }
}

}  // namespace lion::test
