#pragma once
/// lion::combine (lion/segment.hpp) for summaries in the device's memory.

#include <type_traits>

#include "lion/core/config.hpp"
#include "lion/segment.hpp"

namespace lion::cuda {

/// The states of two neighbours, x before y, as those of one segment: a block for each row d of a head.
template <class A>
struct CombineKernel {
  static constexpr int kThreads = 128;

  struct Parameters {
    SegmentSummary<const A> x, y;
    SegmentSummary<A> out;
  };

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index d = dev.block(0), h = dev.block(1), b = dev.block(2);
    const A across_x = Dev::exp(p.x.log_decay(b, h)), across_y = Dev::exp(p.y.log_decay(b, h));
    for (Index e = dev.thread(); e < p.out.to_later.extent(3); e += dev.threads()) {
      const A later = across_y * p.x.to_later(b, h, d, e) + p.y.to_later(b, h, d, e);
      const A earlier = p.x.to_earlier(b, h, d, e) + across_x * p.y.to_earlier(b, h, d, e);
      p.out.to_later(b, h, d, e) = later;
      p.out.to_earlier(b, h, d, e) = earlier;
    }
  }
};

/// Their log-decays, once every block of the states has read them: `out` may be x or y.
template <class A>
struct CombineDecaysKernel {
  static constexpr int kThreads = 128;
  using Parameters = typename CombineKernel<A>::Parameters;

  template <class Dev>
  LION_DEVICE static void run(const Dev& dev, const Parameters& p) {
    const Index h = dev.block(0) * dev.threads() + dev.thread(), b = dev.block(1);
    if (h < p.out.log_decay.extent(1)) p.out.log_decay(b, h) = p.x.log_decay(b, h) + p.y.log_decay(b, h);
  }
};

/// As lion::combine, on the stream. Throws ArgumentError where shapes differ, CudaError where a kernel does not start.
template <class A, class Launcher>
void combine(const Launcher& launcher, const SegmentSummary<const std::type_identity_t<A>>& x,
             const SegmentSummary<const std::type_identity_t<A>>& y, const SegmentSummary<A>& out) {
  const Shape<4> shape = x.to_later.shape();
  lion::detail::check_summary("x", x, shape);
  lion::detail::check_summary("y", y, shape);
  lion::detail::check_summary("out", out, shape);
  using Kernel = CombineKernel<A>;
  constexpr Index kThreads = CombineDecaysKernel<A>::kThreads;
  launcher.template launch<Kernel>("combine", {shape[2], shape[1], shape[0]}, 0, {x, y, out});
  launcher.template launch<CombineDecaysKernel<A>>("combine_decays",
                                                   {(shape[1] + kThreads - 1) / kThreads, shape[0], 1}, 0, {x, y, out});
}

}  // namespace lion::cuda
