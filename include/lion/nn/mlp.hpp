#pragma once
/// fc2(GELU(fc1(x))): two linear layers around a wide hidden one.

#include "lion/nn/dropout.hpp"
#include "lion/nn/elementwise.hpp"
#include "lion/nn/gelu.hpp"
#include "lion/nn/linear.hpp"

namespace lion::nn {

/// Tokens [N,C] to [N,C] over a hidden width M.
template <Real S>
class Mlp {
 public:
  Mlp() = default;
  Mlp(const std::string& name, Index width, Index hidden) : Mlp(name + ".fc1", name + ".fc2", width, hidden) {}
  /// The same with names for each of the two layers.
  Mlp(const std::string& inner, const std::string& outer, Index width, Index hidden)
      : fc1(inner, width, hidden), fc2(outer, hidden, width) {}

  void initialise(const PlacedRandom& random) {
    fc1.initialise(random.stream(1));
    fc2.initialise(random.stream(2));
  }

  Index hidden() const { return fc1.out(); }

  /// Elements of `scratch` in `forward`, where hidden activations exist for some tokens at once; for more tokens not
  /// fewer, so that scratch for a batch is enough for smaller ones.
  Index scratch_size(Index tokens) const { return (std::min)(tokens, cpu::kPackedRows) * hidden_stride(); }

  /// y = residual + mlp(x), in blocks of tokens; x and residual may be y. `scratch` has scratch_size(N) elements.
  void forward(const View<const S, 2>& x, const View<const S, 2>& residual, const View<S, 2>& y, S* scratch,
               const Executor& executor) const {
    const Index tokens = x.extent(0), step = detail::equal_part(tokens, cpu::kPackedRows);
    for (Index t = 0; t < tokens; t += step) {
      const Index n = (std::min)(step, tokens - t);
      const View<S, 2> h(scratch, {n, hidden()}, {hidden_stride(), 1});
      const auto rows = [&](const auto& v) {
        return std::remove_cvref_t<decltype(v)>(v.at(t), {n, v.extent(1)}, v.strides());
      };
      fc1.forward(rows(x), h, executor, {}, gelu_in_place<S>);
      fc2.forward(h, rows(y), executor, rows(residual));
    }
  }

  /// y = mlp(x), keeping the pre-activations [N,M] for backward; `activated` [N,M] is scratch. Dropout at rate p after
  /// the activation.
  void forward_train(const View<const S, 2>& x, const View<S, 2>& y, const View<S, 2>& preactivations,
                     const View<S, 2>& activated, double p, const PlacedRandom& random,
                     const Executor& executor) const {
    fc1.forward(x, preactivations, executor);
    gelu<S>(preactivations, activated, {}, executor);
    dropout(activated, p, random, executor);
    fc2.forward(activated, y, executor);
  }

  /// dx [N,C] (overwritten), and the weights' gradients are added. `preactivations` as forward_train left them and
  /// overwritten; `activated`, `dhidden` [N,M] scratch.
  void backward(const View<const S, 2>& dy, const View<const S, 2>& x, const View<S, 2>& preactivations,
                const View<S, 2>& activated, const View<S, 2>& dhidden, const View<S, 2>& dx, double p,
                const PlacedRandom& random, const Executor& executor) {
    gelu<S>(preactivations, activated, preactivations, executor);  // leaves GELU' in place of the pre-activations
    dropout(activated, p, random, executor);
    fc2.backward_weights(dy, activated, executor);
    fc2.backward_input(dy, dhidden, executor);
    dropout(dhidden, p, random, executor);
    multiply<S>(dhidden, preactivations, executor);
    fc1.backward_weights(dhidden, x, executor);
    fc1.backward_input(dhidden, dx, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    fc1.for_each_parameter(f);
    fc2.for_each_parameter(f);
  }

  Linear<S> fc1, fc2;

 private:
  /// A line more where a row is a multiple of 4 KiB: all rows would begin in one set of the first cache, from which fc2
  /// reads 14 of them at a time, for 4 % of its time.
  Index hidden_stride() const {
    constexpr Index size = sizeof(S);
    return hidden() * size % 4096 == 0 ? hidden() + cpu::kLine / size : hidden();
  }
};

}  // namespace lion::nn
