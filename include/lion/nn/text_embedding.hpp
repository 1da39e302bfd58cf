#pragma once
/// Token ids to tokens: word, segment and, in some models, position (math.md §7).

#include <optional>

#include "lion/nn/gather.hpp"
#include "lion/nn/layer_norm.hpp"
#include "lion/nn/linear.hpp"
#include "lion/nn/token_batch.hpp"

namespace lion::nn {

/// Numbers of the tokens of a batch.
struct TokenIds {
  View<const Index, 2> words;    ///< [B,L]
  View<const Index, 2> types{};  ///< [B,L]; absent: all 0

  Index word(const TokenBatch& batch, Index t) const { return words(t / batch.length, t % batch.length); }
  Index type(const TokenBatch& batch, Index t) const {
    return types ? types(t / batch.length, t % batch.length) : Index(0);
  }
};

/// LayerNorm(word[id] + token_type[type] + position[place]) over tokens [N,C].
template <Real S>
class TextEmbedding {
 public:
  TextEmbedding() = default;
  /// Parameters `name`.word_embeddings.weight [vocabulary,C], .token_type_embeddings.weight [types,C], .LayerNorm, and
  /// with `positions` above 0 .position_embeddings.weight [positions,C].
  TextEmbedding(const std::string& name, Index vocabulary, Index types, Index positions, Index width, double epsilon)
      : word(Parameter<S>::without_grad(name + ".word_embeddings.weight", {vocabulary, width}, true)),
        token_type(Parameter<S>::without_grad(name + ".token_type_embeddings.weight", {types, width}, true)),
        norm(name + ".LayerNorm", width, epsilon),
        width_(width) {
    if (positions > 0) {
      position = Parameter<S>::without_grad(name + ".position_embeddings.weight", {positions, width}, true);
    }
  }

  void initialise(const PlacedRandom& random) {
    truncated_normal(word, 0.02, random.stream(1));
    truncated_normal(token_type, 0.02, random.stream(2));
    if (position) truncated_normal(*position, 0.02, random.stream(3));
  }

  /// x [N,C] of the ids; the statistics [N,2] of the norm are kept if present.
  void forward(const TokenIds& ids, const TokenBatch& batch, const View<S, 2>& x, const Executor& executor,
               const View<S, 2>& statistics = {}) const {
    sum(ids, batch, x, executor);
    norm.forward(x, x, executor, statistics);
  }

  /// Adds to the gradients, given dx [N,C], which is overwritten, and ids and statistics as forward had and kept them.
  /// Scratch: z [N,C], and of the norm.
  void backward(const TokenIds& ids, const TokenBatch& batch, const View<S, 2>& dx, const View<const S, 2>& statistics,
                const View<S, 2>& z, S* scratch, const Executor& executor) {
    sum(ids, batch, z, executor);
    norm.backward(dx, z, statistics, dx, scratch, executor, false);
    const auto table = [&](Parameter<S>& p) { return View<S, 2>(p.grad.data(), {p.shape[0], width_}); };
    const View<const S, 2> dsum = dx;
    scatter_add_rows<S>(
        dsum, [&](Index t) { return ids.word(batch, t); }, table(word), executor);
    scatter_add_rows<S>(
        dsum, [&](Index t) { return ids.type(batch, t); }, table(token_type), executor);
    if (!position) return;
    scatter_add_rows<S>(
        dsum, [&](Index t) { return batch.place(t); }, table(*position), executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    f(word);
    if (position) f(*position);
    f(token_type);
    norm.for_each_parameter(f);
  }

  Parameter<S> word;                     ///< [vocabulary,C]
  Parameter<S> token_type;               ///< [types,C]
  std::optional<Parameter<S>> position;  ///< [positions,C]
  LayerNorm<S> norm;

 private:
  void sum(const TokenIds& ids, const TokenBatch& batch, const View<S, 2>& x, const Executor& executor) const {
    using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;
    using ConstRow = Eigen::Map<const Eigen::Array<S, -1, 1>>;
    const auto row = [&](const Parameter<S>& p, Index i) { return ConstRow(p.value.data() + i * width_, width_); };
    detail::for_each_block(batch.tokens(), kRowBlock, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        Row to(x.at(t), width_);
        to = row(word, ids.word(batch, t)) + row(token_type, ids.type(batch, t));
        if (position) to += row(*position, batch.place(t));
      }
    });
  }

  Index width_ = 0;
};

}  // namespace lion::nn
