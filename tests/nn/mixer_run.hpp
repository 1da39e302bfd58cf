#pragma once
/// A mixer with everything it writes to, for tests: poisoned memory, a batch of any shape.

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "differences.hpp"
#include "lion/nn/sequences.hpp"

namespace nn_test {

using namespace lion;

template <class S, class Mixer>
struct MixerRun {
  Mixer& mixer;
  nn::TokenBatch batch;
  Tensor<S, 2> u, dout, out, du;  // [N,C]
  Workspace memory, workspace;
  std::optional<typename Mixer::Tape> tape;
  std::optional<typename Mixer::Scratch> scratch;

  MixerRun(Mixer& m, const nn::TokenBatch& of, unsigned seed = 1)
      : mixer(m),
        batch(of),
        u(tensor<S, 2>({of.tokens(), m.width()}, seed)),
        dout(tensor<S, 2>({of.tokens(), m.width()}, seed + 1)),
        out({of.tokens(), m.width()}),
        du({of.tokens(), m.width()}) {
    Arena counting;
    typename Mixer::Tape(m, batch, counting);
    typename Mixer::Scratch(m, batch, counting);
    poison(memory, counting.used() + kAlignment);
    Arena arena = memory.arena();
    tape.emplace(m, batch, arena);
    scratch.emplace(m, batch, arena);
    out.fill(std::numeric_limits<S>::quiet_NaN());
    du.fill(std::numeric_limits<S>::quiet_NaN());
  }

  /// NaN in every byte.
  static void poison(Workspace& memory, std::size_t size) {
    memory.reserve(size);
    std::byte* bytes = memory.arena().template take<std::byte>(0);
    std::fill_n(bytes, size - kAlignment, std::byte(0xff));
  }

  void forward(Executor executor = {}) { mixer.forward_train(u, out, *tape, *scratch, batch, workspace, executor); }
  void backward(Executor executor = {}) {
    mixer.for_each_parameter([](auto& p) { p.grad.fill(0); });
    mixer.backward(dout, u, *tape, *scratch, du, batch, workspace, executor);
  }

  /// mixer(u), as inference computes it: added to zero.
  Tensor<S, 2> infer(Executor executor = {}) const {
    Arena counting;
    typename Mixer::Buffers(mixer, batch, counting);
    Workspace own, scans;
    poison(own, counting.used() + kAlignment);
    Arena arena = own.arena();
    const typename Mixer::Buffers buffers(mixer, batch, arena);
    scans.reserve(mixer.workspace_size(batch, executor));
    Tensor<S, 2> z = u.clone(), y(u.shape());
    const std::size_t size = scans.size();
    mixer.forward(z, y, buffers, batch, scans, executor);
    REQUIRE(scans.size() == size);  // it was enough
    return y;
  }

  std::vector<S> gradients() const {
    std::vector<S> all;
    mixer.for_each_parameter([&](auto& p) { all.insert(all.end(), p.grad.data(), p.grad.data() + p.size()); });
    return all;
  }

  /// Every gradient by finite differences of Σ out·dout.
  void require_gradients() {
    forward();
    backward();
    const auto f = [&] {
      forward();
      return inner(out, dout);
    };
    require_gradient("u", u.data(), u.size(), du.data(), f);
    require_parameter_gradients(mixer, f);
  }
};

/// Values of a batch of its own with the given rows: what a sequence alone gives.
template <class S>
void require_rows(const Tensor<S, 2>& got, Index first, const Tensor<S, 2>& expected, double tolerance) {
  for (Index t = 0; t < expected.extent(0); ++t) {
    for (Index c = 0; c < expected.extent(1); ++c) {
      INFO("row " << t << ", column " << c);
      REQUIRE(got(first + t, c) == Approx(expected(t, c)).epsilon(tolerance).margin(tolerance));
    }
  }
}

/// Packed sequences against each alone: outputs, gradients of the tokens, and the sum of the weights' gradients.
template <class Mixer>
void require_packed_as_alone(Mixer& mixer, const std::vector<Index>& cuts) {
  nn::TokenBatch packed{1, cuts.back()};
  packed.cu_seqlens = cuts;
  MixerRun<double, Mixer> all(mixer, packed);
  all.forward();
  all.backward();
  const std::vector<double> gradients = all.gradients();
  require_rows(all.infer(), 0, all.out, 1e-12);
  std::vector<double> sum(gradients.size());
  for (std::size_t i = 1; i < cuts.size(); ++i) {
    INFO("sequence " << i - 1);
    const Index first = cuts[i - 1], length = cuts[i] - first;
    MixerRun<double, Mixer> one(mixer, {1, length});
    std::copy_n(all.u.data() + first * mixer.width(), one.u.size(), one.u.data());
    std::copy_n(all.dout.data() + first * mixer.width(), one.u.size(), one.dout.data());
    one.forward();
    one.backward();
    require_rows(all.out, first, one.out, 1e-11);
    require_rows(all.du, first, one.du, 1e-11);
    const std::vector<double> of_one = one.gradients();
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += of_one[j];
  }
  for (std::size_t j = 0; j < sum.size(); ++j) REQUIRE(gradients[j] == Approx(sum[j]).epsilon(1e-9).margin(1e-11));
}

/// Padding before and after the tokens of a sequence changes nothing of them, whatever the padded tokens hold; and the
/// gradients are those of what is computed.
template <class Mixer>
void require_padding_unnoticed(Mixer& mixer) {
  constexpr Index length = 11, before = 2, after = 3, real = length - before - after;
  Tensor<bool, 2> mask({2, length});
  for (Index b = 0; b < 2; ++b) {
    for (Index t = 0; t < length; ++t) mask(b, t) = b == 0 ? t < length - 4 : t >= before && t < length - after;
  }
  mask(0, 3) = false;  // a hole
  nn::TokenBatch batch{2, length};
  batch.key_mask = mask;
  MixerRun<double, Mixer> padded(mixer, batch);
  padded.forward();
  require_rows(padded.infer(), 0, padded.out, 1e-12);
  MixerRun<double, Mixer> alone(mixer, {1, real});
  std::copy_n(padded.u.data() + (length + before) * mixer.width(), alone.u.size(), alone.u.data());
  alone.forward();
  require_rows(padded.out, length + before, alone.out, 1e-12);

  MixerRun<double, Mixer> other(mixer, batch);
  for (Index t = 0; t < batch.tokens(); ++t) {
    if (mask(t / length, t % length)) continue;
    for (Index c = 0; c < mixer.width(); ++c) other.u(t, c) += 5;
  }
  other.forward();
  for (Index t = 0; t < batch.tokens(); ++t) {
    if (!mask(t / length, t % length)) continue;
    for (Index c = 0; c < mixer.width(); ++c) REQUIRE(other.out(t, c) == padded.out(t, c));
  }
  padded.require_gradients();
}

template <class Mixer>
void require_same_bits(Mixer& mixer, const nn::TokenBatch& batch) {
  MixerRun<float, Mixer> one(mixer, batch);
  one.forward();
  one.backward();
  const auto out = one.out.clone(), du = one.du.clone(), inferred = one.infer();
  const std::vector<float> gradients = one.gradients();
  for (const Index threads : {2, 3}) {
    ThreadPool pool(threads);
    one.forward(pool);
    one.backward(pool);
    REQUIRE(std::equal(out.data(), out.data() + out.size(), one.out.data()));
    REQUIRE(std::equal(du.data(), du.data() + du.size(), one.du.data()));
    REQUIRE(gradients == one.gradients());
    const auto again = one.infer(pool);
    REQUIRE(std::equal(inferred.data(), inferred.data() + inferred.size(), again.data()));
  }
}

}  // namespace nn_test
