#pragma once
/// Images of one size in memory, with their classes.

#include <vector>

#include "lion/image/image.hpp"

namespace lion::image {

/// What the readers of CIFAR and IDX files give. Any number of threads may read it.
struct ImageSet {
  Tensor<std::uint8_t, 4> pixels;  ///< [N,height,width,channels]
  std::vector<Index> labels;       ///< [N], each in [0, classes)
  Index classes = 0;

  Index size() const { return static_cast<Index>(labels.size()); }
  Index label(Index i) const { return labels[static_cast<std::size_t>(i)]; }
  /// [height,width,channels]; valid as long as the set.
  ConstPixels image(Index i) const {
    return ConstPixels(pixels.view().at(i), {pixels.extent(1), pixels.extent(2), pixels.extent(3)});
  }
};

}  // namespace lion::image
