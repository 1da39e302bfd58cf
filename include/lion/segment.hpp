#pragma once
/// A long sequence in pieces: what a segment hands to the rest of its sequence, and how neighbours combine
/// (math.md §3 "In pieces", §4). Memory larger than a machine's, or several machines, need nothing more.
///
/// A is the type of states, accumulator_t<T>; states are [B,H,D,E+1], the last column for the denominators (zero where
/// nothing is normalised).

#include <cmath>
#include <concepts>

#include "lion/core/view.hpp"

namespace lion {

/// Of a segment's keys and values: U (to later tokens) and W (to earlier ones); or of its queries and upstream
/// gradients, in the backward pass: T (to later keys) and R (to earlier ones). Both combine by the same rule.
template <class A>
struct SegmentSummary {
  View<A, 4> to_later;    ///< [B,H,D,E+1]
  View<A, 4> to_earlier;  ///< [B,H,D,E+1]
  View<A, 2> log_decay;   ///< [B,H] the log of the decay across the segment, Λ

  template <std::same_as<const A> C>
    requires(!std::is_const_v<A>)
  operator SegmentSummary<C>() const {
    return {to_later, to_earlier, log_decay};
  }
};

/// What comes into a segment: the combined summary of all before it (its to_later) and of all after it (its
/// to_earlier). An absent state is zero.
template <class A>
struct Incoming {
  View<const A, 4> from_earlier{};  ///< [B,H,D,E+1] F, or T
  View<const A, 4> from_later{};    ///< [B,H,D,E+1] G, or R
  bool any() const { return from_earlier || from_later; }
};

/// What comes into a segment's backward pass: of keys and values (F, G), of queries and upstream gradients (T, R).
template <class A>
struct IncomingBackward {
  Incoming<A> keys{};
  Incoming<A> queries{};
  bool any() const { return keys.any() || queries.any(); }
};

namespace detail {
template <class A>
void check_summary(const std::string& name, const SegmentSummary<A>& s, const Shape<4>& expected) {
  require_shape<4>("combine", (name + ".to_later").c_str(), s.to_later.shape(), expected);
  require_shape<4>("combine", (name + ".to_earlier").c_str(), s.to_earlier.shape(), expected);
  require_shape<2>("combine", (name + ".log_decay").c_str(), s.log_decay.shape(), {expected[0], expected[1]});
}
}  // namespace detail

/// The summary of two neighbours, x before y, as one segment; associative. `out` may be x or y.
/// Throws ArgumentError where shapes differ.
template <class A>
void combine(const SegmentSummary<const std::type_identity_t<A>>& x,
             const SegmentSummary<const std::type_identity_t<A>>& y, const SegmentSummary<A>& out) {
  const Shape<4> shape = x.to_later.shape();
  detail::check_summary("x", x, shape);
  detail::check_summary("y", y, shape);
  detail::check_summary("out", out, shape);
  for (Index b = 0; b < shape[0]; ++b) {
    for (Index h = 0; h < shape[1]; ++h) {
      const A across_x = std::exp(x.log_decay(b, h)), across_y = std::exp(y.log_decay(b, h));
      for (Index d = 0; d < shape[2]; ++d) {
        for (Index e = 0; e < shape[3]; ++e) {
          const A later = across_y * x.to_later(b, h, d, e) + y.to_later(b, h, d, e);
          const A earlier = x.to_earlier(b, h, d, e) + across_x * y.to_earlier(b, h, d, e);
          out.to_later(b, h, d, e) = later;
          out.to_earlier(b, h, d, e) = earlier;
        }
      }
      out.log_decay(b, h) = x.log_decay(b, h) + y.log_decay(b, h);
    }
  }
}

}  // namespace lion
