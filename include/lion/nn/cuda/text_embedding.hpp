#pragma once
/// nn::TextEmbedding on the GPU.

#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/text_embedding.hpp"

namespace lion::cuda {

/// The sums of word, segment and, in some models, position of the tokens of a batch, as rows of a norm.
template <class T>
struct TextRows {
  nn::TokenIds ids;
  const T *word, *type, *position;  // [V,C], [types,C], [positions,C] or none
  Index width, length;              // C, and tokens of a row
  const Index* cuts;                // [count + 1], where the one row holds several sequences; or none
  Index count;

  struct Row {
    const T *word, *type, *position;
  };

  LION_DEVICE Row row(Index t) const {
    const Index b = t / length, at = t % length;
    const Index kind = ids.types ? ids.types(b, at) : Index(0);
    return {word + ids.words(b, at) * width, type + kind * width, position ? position + place(at) * width : nullptr};
  }

  template <class Dev, int n>
  LION_DEVICE static void load(const Row& row, Index column, accumulator_t<T> (&to)[n]) {
    accumulator_t<T> other[n];
    load_pack<Dev>(row.word + column, to);
    load_pack<Dev>(row.type + column, other);
    LION_UNROLL
    for (int i = 0; i < n; ++i) to[i] += other[i];
    if (!row.position) return;
    load_pack<Dev>(row.position + column, other);
    LION_UNROLL
    for (int i = 0; i < n; ++i) to[i] += other[i];
  }

 private:
  /// The place of a token in its sequence.
  LION_DEVICE Index place(Index at) const {
    if (!cuts) return at;
    Index first = 0, end = count;  // cuts[first] <= at < cuts[end]
    while (end - first > 1) {
      const Index middle = (first + end) / 2;
      (cuts[middle] <= at ? first : end) = middle;
    }
    return at - cuts[first];
  }
};

template <class T>
class TextEmbedding {
 public:
  TextEmbedding() = default;
  /// Names as nn::TextEmbedding has them.
  TextEmbedding(WeightImage<T>& image, const std::string& name, bool positions, double epsilon)
      : word_(image.take(name + ".word_embeddings.weight")),
        type_(image.take(name + ".token_type_embeddings.weight")),
        position_(positions ? image.take(name + ".position_embeddings.weight") : nullptr),
        norm_(image, name + ".LayerNorm", epsilon) {}

  /// [V,C]: the decoder's weights too.
  const T* word() const { return word_; }

  /// x [N,C] of the ids.
  template <class Queue>
  void forward(const Queue& queue, const nn::TokenIds& ids, const nn::TokenBatch& batch, const View<T, 2>& x) const {
    TextRows<T> rows{ids, word_, type_, position_, x.extent(1), batch.length, nullptr, 0};
    if (!batch.cu_seqlens.empty()) {
      rows.cuts = batch.cu_seqlens.data();
      rows.count = static_cast<Index>(batch.cu_seqlens.size()) - 1;
    }
    norm_.forward_of(queue, rows, true, x);
  }

 private:
  const T *word_ = nullptr, *type_ = nullptr, *position_ = nullptr;
  LayerNorm<T> norm_;
};

}  // namespace lion::cuda
