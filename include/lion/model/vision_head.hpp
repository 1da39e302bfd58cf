#pragma once
/// From the last block's tokens to logits, and back: the last norm, what is read of it, and one head or two.

#include <string>
#include <vector>

#include "lion/model/vision_layout.hpp"

namespace lion::model {

/// `norm` (for Vim the RMS norm `norm_f`), then the class token or the mean over all tokens, then `head` (math.md §6).
/// A distilled model (DeiT, Touvron et al., arXiv 2012.12877) has two heads, `head` on the class token and `head_dist`
/// on the distillation token; where one answer is asked for it is the mean of theirs.
template <Real S>
class VisionHead {
 public:
  VisionHead() = default;
  explicit VisionHead(const VisionConfig& config)
      : width_(config.embed_dim), mean_(!config.distilled && !config.cls_tok), place_(prefix_place(config)) {
    if (config.kind == "vim") {
      norm_ = nn::RmsNorm<S>("norm_f", width_);
    } else {
      norm_ = nn::LayerNorm<S>("norm", width_);
    }
    heads_.emplace_back("head", width_, config.num_classes);
    if (config.distilled) heads_.emplace_back("head_dist", width_, config.num_classes);
  }

  void initialise(const nn::PlacedRandom& random) {
    heads_[0].initialise(random);
    if (heads_.size() > 1) heads_[1].initialise(random.stream(1));
  }

  /// pooled [classifiers·B,C], what the heads read of x [N,C], one head after the other; z [N,C] is scratch. statistics
  /// [N,2], if present, is for `backward`.
  void pool(const View<const S, 2>& x, const View<S, 2>& z, const nn::TokenBatch& batch, const View<S, 2>& pooled,
            const Executor& executor, const View<S, 2>& statistics = {}) const;

  /// logits [classifiers,B,K] of each head.
  void forward(const View<const S, 2>& pooled, const nn::TokenBatch& batch, const View<S, 3>& logits,
               const Executor& executor) const;

  /// logits [B,K], the mean over the heads.
  void forward(const View<const S, 2>& pooled, const nn::TokenBatch& batch, const View<S, 2>& logits,
               const Executor& executor) const;

  /// tape.dx [N,C] from dlogits [classifiers,B,K]; the weights' gradients are added.
  void backward(const View<const S, 3>& dlogits, const VisionTape<S>& tape, const Executor& executor);

  /// The same from the gradient [B,K] of the mean over the heads.
  void backward(const View<const S, 2>& dlogits, const VisionTape<S>& tape, const Executor& executor);

  template <class F>
  void for_each_parameter(F&& f) {
    norm_.for_each_parameter(f);
    for (nn::Linear<S>& head : heads_) head.for_each_parameter(f);
  }

 private:
  using Row = Eigen::Map<Eigen::Array<S, -1, 1>>;

  Index classifiers() const { return static_cast<Index>(heads_.size()); }

  /// The h-th token of each sample that is not a patch's, as rows that lie L apart.
  template <class T>
  View<T, 2> token(const View<T, 2>& x, Index h, const nn::TokenBatch& batch) const {
    const Index first = nn::prefix_begin(place_, batch.length - classifiers());
    return View<T, 2>(x.at(first + h), {batch.samples, width_}, {batch.length * width_, 1});
  }

  /// Rows h·B … (h+1)·B.
  template <class T>
  static View<T, 2> rows(const View<T, 2>& x, Index h, const nn::TokenBatch& batch) {
    return View<T, 2>(x.at(h * batch.samples), {batch.samples, x.extent(1)}, x.strides());
  }

  template <class T>
  static View<T, 2> of_head(const View<T, 3>& x, Index h) {
    return View<T, 2>(x.at(h), {x.extent(1), x.extent(2)}, {x.stride(1), x.stride(2)});
  }

  Index width_ = 0;
  bool mean_ = false;
  nn::PrefixPlace place_ = nn::PrefixPlace::front;
  nn::Norm<S> norm_;
  std::vector<nn::Linear<S>> heads_;
};

// Outside the class, and so not inline: with LION_EXTERN_KERNELS no file compiles them but one (cpu/kernels.hpp).

template <Real S>
void VisionHead<S>::pool(const View<const S, 2>& x, const View<S, 2>& z, const nn::TokenBatch& batch,
                         const View<S, 2>& pooled, const Executor& executor, const View<S, 2>& statistics) const {
  if (!mean_) {
    for (Index h = 0; h < classifiers(); ++h) {
      norm_.forward(token(x, h, batch), rows(pooled, h, batch), executor,
                    statistics ? rows(statistics, h, batch) : statistics);
    }
    return;
  }
  norm_.forward(x, z, executor, statistics);
  nn::detail::for_each_block(batch.samples, 1, executor, [&](Index b, Index) {
    Row sum(pooled.at(b), width_);
    sum.setZero();
    for (Index t = 0; t < batch.length; ++t) sum += Row(z.at(b * batch.length + t), width_);
    sum *= S(1) / static_cast<S>(batch.length);
  });
}

template <Real S>
void VisionHead<S>::forward(const View<const S, 2>& pooled, const nn::TokenBatch& batch, const View<S, 3>& logits,
                            const Executor& executor) const {
  for (Index h = 0; h < classifiers(); ++h) {
    heads_[static_cast<std::size_t>(h)].forward(rows(pooled, h, batch), of_head(logits, h), executor);
  }
}

template <Real S>
void VisionHead<S>::forward(const View<const S, 2>& pooled, const nn::TokenBatch& batch, const View<S, 2>& logits,
                            const Executor& executor) const {
  heads_[0].forward(rows(pooled, 0, batch), logits, executor);
  if (heads_.size() == 1) return;
  heads_[1].forward(rows(pooled, 1, batch), logits, executor, logits);
  for (Index b = 0; b < batch.samples; ++b) Row(logits.at(b), logits.extent(1)) /= S(2);
}

template <Real S>
void VisionHead<S>::backward(const View<const S, 3>& dlogits, const VisionTape<S>& tape, const Executor& executor) {
  const nn::TokenBatch& batch = tape.batch;
  for (Index h = 0; h < classifiers(); ++h) {
    nn::Linear<S>& head = heads_[static_cast<std::size_t>(h)];
    head.backward_weights(of_head(dlogits, h), rows<const S>(tape.pooled, h, batch), executor);
    head.backward_input(of_head(dlogits, h), rows(tape.dpooled, h, batch), executor);
  }
  nn::detail::for_each_block(batch.tokens(), nn::kRowBlock, executor, [&](Index first, Index n) {
    Row(tape.dx.at(first), n * width_).setZero();
    if (!mean_) return;
    for (Index t = first; t < first + n; ++t) {
      Row(tape.buffers.dz.at(t), width_) =
          Row(tape.dpooled.at(t / batch.length), width_) / static_cast<S>(batch.length);
    }
  });
  if (mean_) return norm_.backward(tape.buffers.dz, tape.x, tape.statistics, tape.dx, tape.buffers.norm, executor);
  for (Index h = 0; h < classifiers(); ++h) {
    norm_.backward(rows<const S>(tape.dpooled, h, batch), token<const S>(tape.x, h, batch),
                   rows<const S>(tape.statistics, h, batch), token(tape.dx, h, batch), tape.buffers.norm, executor);
  }
}

template <Real S>
void VisionHead<S>::backward(const View<const S, 2>& dlogits, const VisionTape<S>& tape, const Executor& executor) {
  const Index samples = dlogits.extent(0), classes = dlogits.extent(1);
  const auto for_all = [&](const View<const S, 2>& d) {  // one gradient, seen by every head
    backward(View<const S, 3>(d.data(), {classifiers(), samples, classes}, {0, d.stride(0), d.stride(1)}), tape,
             executor);
  };
  if (heads_.size() == 1) return for_all(dlogits);
  for (Index b = 0; b < samples; ++b) {
    for (Index k = 0; k < classes; ++k) tape.share(b, k) = dlogits(b, k) / S(2);
  }
  for_all(tape.share);
}

#ifdef LION_EXTERN_KERNELS
extern template class VisionHead<float>;
extern template class VisionHead<double>;
#endif

}  // namespace lion::model
