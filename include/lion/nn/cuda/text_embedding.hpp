#pragma once
/// nn::TextEmbedding on the GPU.

#include <string>
#include <utility>

#include "lion/nn/cuda/layer_norm.hpp"
#include "lion/nn/cuda/scatter.hpp"
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

  LION_DEVICE Index word_of(Index t) const { return ids.words(t / length, t % length); }
  LION_DEVICE Index type_of(Index t) const { return ids.types ? ids.types(t / length, t % length) : Index(0); }
  /// The place of a token in its sequence.
  LION_DEVICE Index place_of(Index t) const {
    const Index at = t % length;
    if (!cuts) return at;
    Index first = 0, end = count;  // cuts[first] <= at < cuts[end]
    while (end - first > 1) {
      const Index middle = (first + end) / 2;
      (cuts[middle] <= at ? first : end) = middle;
    }
    return at - cuts[first];
  }

  LION_DEVICE Row row(Index t) const {
    return {word + word_of(t) * width, type + type_of(t) * width, position ? position + place_of(t) * width : nullptr};
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
};

/// Those sums, in memory: a thread for n neighbours.
template <class T, int n>
struct TextSumKernel {
  using A = accumulator_t<T>;
  static constexpr int kThreads = 256;

  struct Parameters {
    TextRows<T> rows;
    View<T, 2> out;  // [N,C]
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index packs = p.out.extent(1) / n, at = dev.block(0) * kThreads + dev.thread();
    const Index t = at / packs, column = at % packs * n;
    if (t >= p.out.extent(0)) return;
    A values[n];
    TextRows<T>::template load<Dev>(p.rows.row(t), column, values);
    store_pack<Dev>(p.out.at(t, column), values);
  }
};

/// Where the rows of a token's embeddings are in their tables.
template <class T>
struct TextNumbers {
  enum class Table { word, type, position };
  TextRows<T> rows;
  Table table;

  LION_DEVICE Index operator()(Index t) const {
    return table == Table::word ? rows.word_of(t) : table == Table::type ? rows.type_of(t) : rows.place_of(t);
  }
};

template <class T>
class TextEmbedding {
 public:
  using A = accumulator_t<T>;

  TextEmbedding() = default;
  /// Names as nn::TextEmbedding has them.
  template <class Image>
  TextEmbedding(Image& image, const std::string& name, bool positions, double epsilon)
      : word_(image, name + ".word_embeddings.weight"), type_(image, name + ".token_type_embeddings.weight") {
    if (positions) position_ = Table(image, name + ".position_embeddings.weight");
    norm_ = LayerNorm<T>(image, name + ".LayerNorm", epsilon);
  }

  /// [V,C]: the decoder's weights too.
  const T* word() const { return word_.weight; }

  /// x [N,C] of the ids; the statistics [N,2] of the norm are kept, if present.
  template <class Queue>
  void forward(const Queue& queue, const nn::TokenIds& ids, const nn::TokenBatch& batch, const View<T, 2>& x,
               A* statistics = nullptr) const {
    norm_.forward_of(queue, rows_of(ids, batch, x.extent(1)), true, x, statistics);
  }

  /// Adds to the gradients, given dx [N,C], which is overwritten, and ids and statistics as forward had and kept them.
  /// Scratch: z [N,C], and `sums` of LayerNorm::backward_scratch(N, C) elements.
  template <class Queue>
  void backward(const Queue& queue, const TrainedWeights<T>& weights, const nn::TokenIds& ids,
                const nn::TokenBatch& batch, const View<T, 2>& dx, const A* statistics, const View<T, 2>& z,
                A* sums) const {
    const TextRows<T> rows = rows_of(ids, batch, z.extent(1));
    with_pack<T>(whole_packs(z), [&](auto n) {
      using Kernel = TextSumKernel<T, n>;
      queue.template launch<Kernel>("text_sums", {blocks_of(z.size() / n, Kernel::kThreads), 1, 1}, 0, {rows, z});
    });
    norm_.backward(queue, weights, dx, z, statistics, dx, sums, false);
    using Of = typename TextNumbers<T>::Table;
    for (const auto& [table, of] :
         {std::pair(&word_, Of::word), std::pair(&type_, Of::type), std::pair(&position_, Of::position)}) {
      if (!table->weight) continue;
      const View<A, 2> gradient(weights.gradient(table->weight), {table->size, z.extent(1)});
      scatter_rows<T, A>(queue, dx, TextNumbers<T>{rows, of}, gradient, true);
    }
  }

 private:
  struct Table {
    const T* weight = nullptr;  // [size,C]
    Index size = 0;

    Table() = default;
    template <class Image>
    Table(Image& image, const std::string& name) : weight(image.take(name)), size(image.at(name).shape[0]) {}
  };

  TextRows<T> rows_of(const nn::TokenIds& ids, const nn::TokenBatch& batch, Index width) const {
    TextRows<T> rows{ids, word_.weight, type_.weight, position_.weight, width, batch.length, nullptr, 0};
    if (!batch.cu_seqlens.empty()) {
      rows.cuts = batch.cu_seqlens.data();
      rows.count = static_cast<Index>(batch.cu_seqlens.size()) - 1;
    }
    return rows;
  }

  Table word_, type_, position_;
  LayerNorm<T> norm_;
};

}  // namespace lion::cuda
