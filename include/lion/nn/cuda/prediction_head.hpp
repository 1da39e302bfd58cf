#pragma once
/// nn::PredictionHead on the GPU.

#include <algorithm>
#include <string>

#include "lion/nn/cuda/activation.hpp"
#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/linear.hpp"

namespace lion::cuda {

/// logits = LayerNorm(GELU(dense(h)))·wordᵀ + bias over rows h [R,C]; word [V,C] is someone else's parameter.
template <class T>
class PredictionHead {
 public:
  using A = accumulator_t<T>;

  /// Names as nn::PredictionHead has them.
  template <class Image>
  PredictionHead(Image& image, const std::string& name, const T* word, Index vocabulary, Index width, double epsilon)
      : dense_(image, name + ".transform.dense", width),
        norm_(image, name + ".transform.LayerNorm", epsilon),
        decoder_(word, image.take(name + ".bias"), width, vocabulary) {}

  /// logits [R,V] of h, through `transformed`; both [R,C].
  template <class Queue>
  void forward(const Queue& queue, const View<const T, 2>& h, const View<T, 2>& transformed,
               const View<T, 2>& logits) const {
    dense_.forward(queue, h, transformed);
    activate<Gelu>(queue, transformed);
    norm_.forward(queue, transformed, transformed);
    decoder_.forward(queue, transformed, logits);
  }

  /// What backward needs of forward_train, and its scratch.
  struct Tape {
    View<T, 2> h;               ///< [R,C] the head's input, which the caller fills; then its gradient
    View<T, 2> preactivations;  ///< [R,C]
    View<T, 2> activated;       ///< [R,C]
    View<T, 2> transformed;     ///< [R,C]
    View<T, 2> dtransformed;    ///< [R,C]
    A* statistics;              ///< [R,2] of the norm

    Tape(const PredictionHead& head, Index rows, Arena& arena) {
      const Index width = head.dense_.in();
      for (View<T, 2>* view : {&h, &preactivations, &activated, &transformed, &dtransformed}) {
        *view = View<T, 2>(arena.take<T>(rows * width), {rows, width});
      }
      statistics = arena.take<A>(2 * rows);
    }
  };

  /// logits [R,V] of tape.h.
  template <class Queue>
  void forward_train(const Queue& queue, const Tape& tape, const View<T, 2>& logits) const {
    dense_.forward(queue, tape.h, tape.preactivations);
    activate<Gelu, T>(queue, tape.preactivations, tape.activated);
    norm_.forward(queue, tape.activated, tape.transformed, tape.statistics);
    decoder_.forward(queue, tape.transformed, logits);
  }

  /// tape.h becomes its gradient, given dlogits [R,V], and the gradients of the weights and of the word embeddings are
  /// added; `sums` is scratch of backward_scratch(R) elements.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const View<const T, 2>& dlogits, const Tape& tape,
                A* sums) const {
    const View<T, 2>& d = tape.dtransformed;
    decoder_.backward_weights(queue, weights, dlogits, tape.transformed, sums);
    decoder_.backward_input(queue, dlogits, d);
    norm_.backward(queue, weights, d, tape.activated, tape.statistics, d, sums, false);
    activate_backward<Gelu, T>(queue, tape.preactivations, d);
    dense_.backward_weights(queue, weights, d, tape.h, sums);
    dense_.backward_input(queue, d, tape.h);
  }
  Index backward_scratch(Index rows) const {
    return (std::max)({dense_.backward_scratch(rows), decoder_.backward_scratch(rows),
                       LayerNorm<T>::backward_scratch(rows, dense_.in())});
  }

 private:
  Linear<T> dense_;
  LayerNorm<T> norm_;
  Linear<T> decoder_;  // of the word embeddings' weights
};

}  // namespace lion::cuda
