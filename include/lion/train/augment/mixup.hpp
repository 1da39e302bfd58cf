#pragma once
/// Mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899) of a batch with itself reversed, as
/// timm's Mixup in mode `batch` and DeiT's recipe have it.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "lion/core/view.hpp"
#include "lion/train/random.hpp"

namespace lion::train::augment {

/// Gamma distributed, shape > 0 and scale 1 (Marsaglia and Tsang, ACM TOMS 26, 2000).
inline double gamma(double shape, Random& random) {
  if (shape < 1) {
    const double power = std::pow(1 - random.uniform(), 1 / shape);
    return gamma(shape + 1, random) * power;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal(), v = (1 + c * x) * (1 + c * x) * (1 + c * x);
    if (v > 0 && std::log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

/// Beta(alpha, alpha) distributed; alpha > 0.
inline double symmetric_beta(double alpha, Random& random) {
  const double a = gamma(alpha, random) / 2, b = gamma(alpha, random) / 2;  // halves, whose sum is finite
  if (a + b > 0) return a / (a + b);
  return static_cast<double>(random.below(2));  // both have underflowed: alpha is so small that it is a coin
}

struct MixupOptions {
  double mixup_alpha = 0.8;         ///< of the Beta distribution of λ; 0: no mixup
  double cutmix_alpha = 1.0;        ///< the same for CutMix; 0: no CutMix
  double probability = 1.0;         ///< that a batch is mixed, in [0, 1]
  double switch_probability = 0.5;  ///< that it is by CutMix where both are on, in [0, 1]
  double label_smoothing = 0.1;     ///< s, in [0, 1]
};

/// How a batch is mixed.
struct Mixture {
  double lambda = 1;  ///< weight of a sample's own label
  bool cut = false;   ///< CutMix: rows [top, bottom) and columns [left, right) are the other's
  Index top = 0, bottom = 0, left = 0, right = 0;
};

/// Sample b is mixed with sample B−1−b:
///
///     mixup    x_b ← λ x_b + (1−λ) x_{B−1−b}
///     CutMix   a rectangle of √(1−λ) of height and width about a uniform centre, cut off at the edges, is the other's,
///              and λ becomes the share that is not
///     target   λ t_b + (1−λ) t_{B−1−b},   t = (1−s)·onehot(label) + s/K
class Mixup {
 public:
  explicit Mixup(const MixupOptions& options = {}) : options_(options) {
    const auto require = [](bool good, const char* name, double value, const char* expected) {
      if (good) return;
      throw ArgumentError(std::string("Mixup: ") + name + " is " + std::to_string(value) + ", expected " + expected);
    };
    const auto alpha = [&](const char* name, double value) {
      require(value >= 0 && std::isfinite(value), name, value, "a finite value of at least 0");
    };
    const auto fraction = [&](const char* name, double value) {
      require(value >= 0 && value <= 1, name, value, "a value in [0, 1]");
    };
    alpha("mixup_alpha", options.mixup_alpha);
    alpha("cutmix_alpha", options.cutmix_alpha);
    fraction("probability", options.probability);
    fraction("switch_probability", options.switch_probability);
    fraction("label_smoothing", options.label_smoothing);
  }

  /// For pictures of this size.
  Mixture draw(Index height, Index width, Random& random) const {
    const MixupOptions& o = options_;
    Mixture mixture;
    if ((o.mixup_alpha == 0 && o.cutmix_alpha == 0) || random.uniform() >= o.probability) return mixture;
    mixture.cut = o.cutmix_alpha > 0 && (o.mixup_alpha == 0 || random.uniform() < o.switch_probability);
    mixture.lambda = symmetric_beta(mixture.cut ? o.cutmix_alpha : o.mixup_alpha, random);
    if (!mixture.cut) return mixture;
    const double side = std::sqrt(1 - mixture.lambda);
    const auto interval = [&](Index extent) {
      const auto length = static_cast<Index>(static_cast<double>(extent) * side);
      const Index centre = random.below(extent);
      return std::pair((std::clamp)(centre - length / 2, Index(0), extent),
                       (std::clamp)(centre + length / 2, Index(0), extent));
    };
    std::tie(mixture.top, mixture.bottom) = interval(height);
    std::tie(mixture.left, mixture.right) = interval(width);
    const Index area = (mixture.bottom - mixture.top) * (mixture.right - mixture.left);
    mixture.lambda = 1 - static_cast<double>(area) / static_cast<double>(height * width);
    return mixture;
  }

  /// Mixes images [B,channels,height,width] in place and writes targets [B,K], whose rows sum to 1, from labels [B],
  /// each in [0, K).
  template <Real S>
  void operator()(const View<S, 4>& images, std::span<const Index> labels, const View<S, 2>& targets,
                  Random& random) const {
    const Index B = images.extent(0), K = targets.extent(1);
    require_shape<1>("Mixup", "labels", {static_cast<Index>(labels.size())}, {B}, " to match images");
    require_shape<2>("Mixup", "targets", targets.shape(), {B, -1}, " to match images");
    for (Index b = 0; b < B; ++b) {
      const Index label = labels[static_cast<std::size_t>(b)];
      if (label >= 0 && label < K) continue;
      throw ArgumentError("Mixup: labels[" + std::to_string(b) + "] is " + std::to_string(label) +
                          ", expected a value in [0, " + std::to_string(K) + ")");
    }
    const Mixture mixture = draw(images.extent(2), images.extent(3), random);
    mix(images, mixture);
    const double off = options_.label_smoothing / static_cast<double>(K);
    for (Index b = 0; b < B; ++b) {
      for (Index k = 0; k < K; ++k) targets(b, k) = static_cast<S>(off);
      const Index own = labels[static_cast<std::size_t>(b)], other = labels[static_cast<std::size_t>(B - 1 - b)];
      const double on = 1 - options_.label_smoothing;
      if (own == other) {
        targets(b, own) = static_cast<S>(off + on);
      } else {
        targets(b, own) = static_cast<S>(off + on * mixture.lambda);
        targets(b, other) = static_cast<S>(off + on * (1 - mixture.lambda));
      }
    }
  }

 private:
  template <Real S>
  static void mix(const View<S, 4>& images, const Mixture& m) {
    if (m.lambda == 1) return;
    const Index B = images.extent(0);
    const Index top = m.cut ? m.top : 0, bottom = m.cut ? m.bottom : images.extent(2);
    const Index left = m.cut ? m.left : 0, right = m.cut ? m.right : images.extent(3);
    const S own = static_cast<S>(m.lambda), other = static_cast<S>(1 - m.lambda);
    for (Index b = 0; b < B / 2; ++b) {  // the middle one of an odd number stays
      for (Index c = 0; c < images.extent(1); ++c) {
        for (Index y = top; y < bottom; ++y) {
          for (Index x = left; x < right; ++x) {
            S& first = images(b, c, y, x);
            S& last = images(B - 1 - b, c, y, x);
            if (m.cut) {
              std::swap(first, last);
            } else {
              const S mixed = own * first + other * last;
              last = own * last + other * first;
              first = mixed;
            }
          }
        }
      }
    }
  }

  MixupOptions options_;
};

}  // namespace lion::train::augment
