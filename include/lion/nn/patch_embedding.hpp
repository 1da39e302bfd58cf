#pragma once
/// Images to tokens: a P×P convolution of stride P, as unfolding and a product.

#include "lion/nn/linear.hpp"

namespace lion::nn {

/// Where class and distillation tokens stand among N patches: before them all, or before patch ⌊N/2⌋ (Vim).
enum class PrefixPlace { front, middle };

constexpr Index prefix_begin(PrefixPlace place, Index patches) {
  return place == PrefixPlace::middle ? patches / 2 : 0;
}

/// Throws ArgumentError unless images [B,channels,height,width] are non-empty grids of whole patches.
inline void check_patches(const char* operation, const Shape<4>& images, Index channels, Index patch) {
  require_shape<4>(operation, "images", images, {-1, channels, -1, -1});
  for (std::size_t r : {std::size_t(2), std::size_t(3)}) {
    if (images[r] < patch || images[r] % patch != 0) {
      throw ArgumentError(std::string(operation) + ": images has shape " + to_string(images) +
                          ", expected height and width to be positive multiples of the patch size " +
                          std::to_string(patch));
    }
  }
}

/// Images [B,I,height,width] to tokens [B·L,C], the patches row by row, and among them `prefix` rows per image that are
/// left for class and distillation tokens: L = prefix + (height/P)·(width/P).
template <Real S>
class PatchEmbedding {
 public:
  PatchEmbedding() = default;
  /// Parameters `name`.proj.weight [C,I,P,P] and `name`.proj.bias [C].
  PatchEmbedding(const std::string& name, Index channels, Index patch, Index width, Index prefix = 0,
                 PrefixPlace place = PrefixPlace::front)
      : proj(name + ".proj", channels * patch * patch, width, {width, channels, patch, patch}),
        channels_(channels),
        patch_(patch),
        prefix_(prefix),
        place_(place) {}

  /// Weight and bias uniform within 1/√(I·P·P), as timm leaves the convolution.
  void initialise(const PlacedRandom& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(proj.in()));
    uniform(proj.weight, bound, random.stream(1));
    uniform(proj.bias, bound, random.stream(2));
  }

  Index prefix() const { return prefix_; }
  /// The first row of an image of L tokens that is not a patch's.
  Index prefix_row(Index length) const { return prefix_begin(place_, length - prefix_); }

  /// As check_patches.
  void check(const char* operation, const Shape<4>& images) const {
    check_patches(operation, images, channels_, patch_);
  }

  Index rows(const Shape<4>& images) const { return images[2] / patch_; }
  Index cols(const Shape<4>& images) const { return images[3] / patch_; }
  Index tokens(const Shape<4>& images) const { return prefix_ + rows(images) * cols(images); }

  /// Patches as rows of I·P·P entries, [B·L, I·P·P]; rows of the prefix are zero.
  void unfold(const View<const S, 4>& images, const View<S, 2>& unfolded, const Executor& executor) const {
    const Index length = tokens(images.shape()), cols_of = cols(images.shape()), special = prefix_row(length);
    detail::for_each_block(unfolded.extent(0), kRowBlock, executor, [&](Index first, Index n) {
      for (Index t = first; t < first + n; ++t) {
        const Index image = t / length, row = t % length, place = row < special ? row : row - prefix_;
        S* to = unfolded.at(t);
        if (row >= special && row < special + prefix_) {
          std::fill_n(to, unfolded.extent(1), S(0));
          continue;
        }
        const Index y = place / cols_of * patch_, x = place % cols_of * patch_;
        for (Index c = 0; c < channels_; ++c) {
          for (Index i = 0; i < patch_; ++i) {
            const S* from = images.at(image, c, y + i, x);
            for (Index j = 0; j < patch_; ++j) *to++ = from[j * images.stride(3)];
          }
        }
      }
    });
  }

  /// tokens [B·L,C] of unfolded patches; rows of the prefix hold the bias until someone writes them.
  void forward(const View<const S, 2>& unfolded, const View<S, 2>& tokens, const Executor& executor) const {
    proj.forward(unfolded, tokens, executor);
  }

  /// Adds to the weights' gradients; the prefix rows of dtokens must be zero.
  void backward(const View<const S, 2>& dtokens, const View<const S, 2>& unfolded, const Executor& executor) {
    proj.backward_weights(dtokens, unfolded, executor);
  }

  template <class F>
  void for_each_parameter(F&& f) {
    proj.for_each_parameter(f);
  }

  Linear<S> proj;

 private:
  Index channels_ = 0, patch_ = 1, prefix_ = 0;
  PrefixPlace place_ = PrefixPlace::front;
};

}  // namespace lion::nn
