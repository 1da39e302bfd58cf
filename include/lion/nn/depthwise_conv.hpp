#pragma once
/// A short convolution along the tokens, each channel by itself, then SiLU.

#include <array>

#include "lion/nn/sequences.hpp"
#include "lion/nn/silu.hpp"

namespace lion::nn {

/// The tokens that a convolution of K taps reads.
enum class Reach {
  both,   ///< K/2 on each side
  past,   ///< the token and the K-1 before it: causal
  future  ///< the token and the K-1 after it: causal in the reversed sequence
};

/// y = SiLU(bias + Σ_j w_j x_{t+o_j}) over tokens [N,C], whose rows may lie apart. Tokens beyond a sequence count as 0.
template <Real S>
class DepthwiseConv {
 public:
  DepthwiseConv() = default;
  /// Parameters `name`.weight [C,1,K] and `name`.bias [C]. Throws ArgumentError unless K is in [1, 16].
  DepthwiseConv(const std::string& name, Index channels, Index taps, Reach reach)
      : weight(Parameter<S>::without_grad(name + ".weight", {channels, 1, taps}, true)),
        bias(Parameter<S>::without_grad(name + ".bias", {channels}, false)),
        taps_(taps),
        before_(reach == Reach::both ? taps / 2 : taps - 1),
        step_(reach == Reach::future ? -1 : 1) {
    if (taps < 1 || taps > kMaxTaps) {
      throw ArgumentError("depthwise_conv: taps is " + std::to_string(taps) + ", expected 1 to " +
                          std::to_string(kMaxTaps));
    }
  }

  Index channels() const { return bias.size(); }

  /// Uniform within 1/√K, as torch leaves a convolution.
  void initialise(const PlacedRandom& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(taps_));
    uniform(weight, bound, random.stream(1));
    uniform(bias, bound, random.stream(2));
  }

  /// y [N,C]; must not be x.
  void forward(const View<const S, 2>& x, const View<S, 2>& y, const TokenBatch& batch,
               const Executor& executor) const {
    check(x.shape(), batch);
    require_shape<2>("depthwise_conv", "y", y.shape(), x.shape());
    const Sequences sequences(batch);
    detail::for_each_tile(x.extent(0), channels(), kRowBlock, kChannels, executor,
                          [&](Index first, Index n, Index c, Index m) {
                            with_extent(m, [&]<int extent>() {
                              const Taps<extent> w(*this, c, m);
                              Values<extent> sum(m);
                              sequences.for_each_run(first, n, [&](Stretch sequence, Index row, Index run) {
                                for (Index t = row; t < row + run; ++t) {
                                  convolve<extent>(x, sequence, t, c, w, sum);
                                  sum = silu(sum);
                                  std::copy_n(sum.data(), m, y.at(t, c));
                                }
                              });
                            });
                          });
  }

  /// dx, or dx += if `add`; the gradients of weight and bias are added to theirs. x as forward had it; dy is
  /// overwritten. A task has channels of its own and goes over the tokens in their order.
  void backward(const View<S, 2>& dy, const View<const S, 2>& x, const View<S, 2>& dx, bool add,
                const TokenBatch& batch, const Executor& executor) {
    check(x.shape(), batch);
    const Sequences sequences(batch);
    detail::for_each_block(channels(), kChannels, executor, [&](Index c, Index m) {
      with_extent(m, [&]<int extent>() {
        const Taps<extent> w(*this, c, m);
        Taps<extent> dw(m);
        for (Index s = 0; s < sequences.count(); ++s) {
          const Stretch sequence = sequences[s];
          through_activation<extent>(dy, x, sequence, c, w, dw);
          input_gradient<extent>(dy, sequence, c, w, dx, add);
        }
        for (Index i = 0; i < m; ++i) {
          bias.grad(c + i) += dw.bias(i);
          for (Index j = 0; j < taps_; ++j) weight.grad((c + i) * taps_ + j) += dw.tap[at(j)](i);
        }
      });
    });
  }

  template <class F>
  void for_each_parameter(F&& f) {
    f(weight);
    f(bias);
  }

  Parameter<S> weight;  ///< [C,1,K]
  Parameter<S> bias;    ///< [C]

 private:
  static constexpr Index kMaxTaps = 16;
  static constexpr Index kChannels = 32;  // of a task: sums of a token stay in registers

  /// Values of a task's channels. Being aligned, they give the same bits wherever the caller's rows lie.
  template <int extent>
  using Values = Eigen::Array<S, extent, 1, 0, static_cast<int>(kChannels), 1>;
  template <int extent>
  using Input = Eigen::Map<const Eigen::Array<S, extent, 1>>;

  static constexpr std::size_t at(Index j) { return static_cast<std::size_t>(j); }

  template <class F>
  static void with_extent(Index m, F&& f) {
    if (m == kChannels) {
      f.template operator()<static_cast<int>(kChannels)>();
    } else {
      f.template operator()<Eigen::Dynamic>();
    }
  }

  /// The weights of a task's channels, tap by tap, or their gradients.
  template <int extent>
  struct Taps {
    std::array<Values<extent>, kMaxTaps> tap;
    Values<extent> bias;

    explicit Taps(Index m) : bias(Values<extent>::Zero(m)) {
      for (Values<extent>& values : tap) values = bias;
    }
    Taps(const DepthwiseConv& conv, Index c, Index m) : Taps(m) {
      for (Index i = 0; i < m; ++i) {
        bias(i) = conv.bias.value(c + i);
        for (Index j = 0; j < conv.taps_; ++j) tap[at(j)](i) = conv.weight.value((c + i) * conv.taps_ + j);
      }
    }
  };

  void check(const Shape<2>& x, const TokenBatch& batch) const {
    require_shape<2>("depthwise_conv", "x", x, {batch.tokens(), channels()});
  }

  /// f(j, s) for each tap j of token t and the token s of its sequence that it reads.
  template <class F>
  void for_each_tap(Stretch sequence, Index t, F&& f) const {
    for (Index j = 0; j < taps_; ++j) {
      const Index s = t + step_ * (j - before_);
      if (s >= sequence.first && s < sequence.end()) f(j, s);
    }
  }

  /// sum = bias + Σ_j w_j x_{t+o_j}.
  template <int extent>
  void convolve(const View<const S, 2>& x, Stretch sequence, Index t, Index c, const Taps<extent>& w,
                Values<extent>& sum) const {
    const Index m = w.bias.size();
    sum = w.bias;
    for_each_tap(sequence, t, [&](Index j, Index s) { sum += w.tap[at(j)] * Input<extent>(x.at(s, c), m); });
  }

  /// dy becomes the gradient before the activation; weights' gradients are added to dw.
  template <int extent>
  void through_activation(const View<S, 2>& dy, const View<const S, 2>& x, Stretch sequence, Index c,
                          const Taps<extent>& w, Taps<extent>& dw) const {
    const Index m = w.bias.size();
    Values<extent> sum(m);
    for (Index t = sequence.first; t < sequence.end(); ++t) {
      convolve<extent>(x, sequence, t, c, w, sum);
      sum = silu_derivative(sum) * Input<extent>(dy.at(t, c), m);
      std::copy_n(sum.data(), m, dy.at(t, c));
      dw.bias += sum;
      for_each_tap(sequence, t, [&](Index j, Index s) { dw.tap[at(j)] += sum * Input<extent>(x.at(s, c), m); });
    }
  }

  /// dx_s = Σ_j w_j dy_{s-o_j}.
  template <int extent>
  void input_gradient(const View<const S, 2>& dy, Stretch sequence, Index c, const Taps<extent>& w,
                      const View<S, 2>& dx, bool add) const {
    const Index m = w.bias.size();
    Values<extent> sum(m);
    for (Index s = sequence.first; s < sequence.end(); ++s) {
      if (add) {
        sum = Input<extent>(dx.at(s, c), m);
      } else {
        sum.setZero();
      }
      for (Index j = 0; j < taps_; ++j) {
        const Index t = s - step_ * (j - before_);
        if (t >= sequence.first && t < sequence.end()) sum += w.tap[at(j)] * Input<extent>(dy.at(t, c), m);
      }
      std::copy_n(sum.data(), m, dx.at(s, c));
    }
  }

  Index taps_ = 1, before_ = 0, step_ = 1;
};

}  // namespace lion::nn
