#pragma once
/// Tokens to logits over a vocabulary, against the word embeddings (math.md §7).

#include "lion/nn/elementwise.hpp"
#include "lion/nn/gelu.hpp"
#include "lion/nn/layer_norm.hpp"
#include "lion/nn/layout.hpp"
#include "lion/nn/linear.hpp"

namespace lion::nn {

/// logits = LayerNorm(GELU(dense(h)))·wordᵀ + bias over rows h [R,C]; word [V,C] is someone else's parameter.
template <Real S>
class PredictionHead {
 public:
  PredictionHead() = default;
  /// Parameters `name`.transform.dense, `name`.transform.LayerNorm and `name`.bias [vocabulary].
  PredictionHead(const std::string& name, Index vocabulary, Index width, double epsilon)
      : dense(name + ".transform.dense", width, width),
        norm(name + ".transform.LayerNorm", width, epsilon),
        bias(Parameter<S>::without_grad(name + ".bias", {vocabulary}, false)) {}

  void initialise(const PlacedRandom& random) { dense.initialise(random); }

  /// Rows that are transformed at once in `forward`.
  static Index block(Index rows) { return (std::min)(rows, 2 * kRowBlock); }

  /// logits [R,V], in blocks of rows. `scratch` has block(R)·C elements.
  void forward(const View<const S, 2>& h, const Parameter<S>& word, const View<S, 2>& logits, S* scratch,
               const Executor& executor) const {
    const Index rows = h.extent(0), step = block(rows);
    for (Index r = 0; r < rows; r += step) {
      const Index n = (std::min)(step, rows - r);
      const View<S, 2> t(scratch, {n, dense.out()});
      dense.forward(View<const S, 2>(h.at(r), {n, dense.in()}, h.strides()), t, executor, {}, gelu_in_place<S>);
      norm.forward(t, t, executor);
      decode(t, word, View<S, 2>(logits.at(r), {n, bias.size()}, logits.strides()), executor);
    }
  }

  /// What backward needs of forward_train, and its scratch.
  struct Tape {
    View<S, 2> h;               ///< [R,C] the head's input, which the caller fills
    View<S, 2> preactivations;  ///< [R,C]
    View<S, 2> activated;       ///< [R,C]
    View<S, 2> statistics;      ///< [R,2] of the norm
    View<S, 2> transformed;     ///< [R,C]
    View<S, 2> dh;              ///< [R,C]
    S* norm;                    ///< LayerNorm::backward_scratch

    Tape(const PredictionHead& head, Index rows, Arena& arena) {
      for (View<S, 2>* view : {&h, &preactivations, &activated, &transformed, &dh}) {
        *view = take_matrix<S>(arena, rows, head.dense.in());
      }
      statistics = take_matrix<S>(arena, rows, 2);
      norm = arena.take<S>(head.norm.backward_scratch(rows));
    }
  };

  /// logits [R,V] of tape.h.
  void forward_train(const Tape& tape, const Parameter<S>& word, const View<S, 2>& logits,
                     const Executor& executor) const {
    dense.forward(tape.h, tape.preactivations, executor);
    gelu<S>(tape.preactivations, tape.activated, {}, executor);
    norm.forward(tape.activated, tape.transformed, executor, tape.statistics);
    decode(tape.transformed, word, logits, executor);
  }

  /// tape.dh from dlogits [R,V]; adds to the gradients of the weights and of the word embeddings. Once per
  /// forward_train.
  void backward(const View<const S, 2>& dlogits, const Tape& tape, Parameter<S>& word, const Executor& executor) {
    linear_product_weight_gradient<S>(dlogits, tape.transformed, word.grad.data(), bias.grad.data(), executor);
    const View<S, 2>& d = tape.transformed;  // its gradient takes its place
    linear_product_input_gradient<S>(dlogits, word.value.data(), d, false, executor);
    norm.backward(d, tape.activated, tape.statistics, d, tape.norm, executor, false);
    gelu<S>(tape.preactivations, tape.activated, tape.preactivations, executor);  // leaves GELU' behind
    multiply<S>(d, tape.preactivations, executor);
    dense.backward_weights(d, tape.h, executor);
    dense.backward_input(d, tape.dh, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    dense.for_each_parameter(f);
    norm.for_each_parameter(f);
    f(bias);
  }

  Linear<S> dense;
  LayerNorm<S> norm;
  Parameter<S> bias;  ///< [V]

 private:
  void decode(const View<const S, 2>& t, const Parameter<S>& word, const View<S, 2>& logits,
              const Executor& executor) const {
    const S *const w = word.value.data(), *const b = bias.value.data();
    linear_product<S>(t, Layers<const S>(&w, 1), Layers<const S>(&b, 1), {}, logits, nullptr, executor);
  }
};

}  // namespace lion::nn
