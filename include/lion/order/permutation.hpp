#pragma once
/// Orders in which a mask walks over the tokens.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lion/core/error.hpp"
#include "lion/core/scalar.hpp"

namespace lion::order {

/// Whether each of 0 … n-1 is there once.
inline bool is_permutation(std::span<const Index> order) {
  std::vector<bool> seen(order.size(), false);
  for (Index token : order) {
    if (token < 0 || static_cast<std::size_t>(token) >= order.size() || seen[static_cast<std::size_t>(token)]) {
      return false;
    }
    seen[static_cast<std::size_t>(token)] = true;
  }
  return true;
}

/// The token at each place of a walk: a permutation of 0 … n-1, checked when it is made.
class Permutation {
 public:
  Permutation() = default;
  /// Throws ArgumentError unless `order` is a permutation.
  explicit Permutation(std::vector<Index> order) : order_(std::move(order)) {
    if (!is_permutation(order_)) {
      throw ArgumentError("Permutation: order is no permutation of 0 … " + std::to_string(size() - 1));
    }
  }

  Index size() const { return static_cast<Index>(order_.size()); }
  Index operator[](Index place) const { return order_[static_cast<std::size_t>(place)]; }
  std::span<const Index> span() const { return order_; }
  operator std::span<const Index>() const { return order_; }
  friend bool operator==(const Permutation&, const Permutation&) = default;

 private:
  std::vector<Index> order_;
};

/// The place at which each token comes.
inline Permutation inverse(const Permutation& order) {
  std::vector<Index> places(static_cast<std::size_t>(order.size()));
  for (Index place = 0; place < order.size(); ++place) places[static_cast<std::size_t>(order[place])] = place;
  return Permutation(std::move(places));
}

/// `prefix` tokens (class, distillation) first, as they lie, then `order` over those that follow.
inline Permutation with_prefix(const Permutation& order, Index prefix) {
  std::vector<Index> all(static_cast<std::size_t>(prefix + order.size()));
  for (Index i = 0; i < prefix; ++i) all[static_cast<std::size_t>(i)] = i;
  for (Index i = 0; i < order.size(); ++i) all[static_cast<std::size_t>(prefix + i)] = prefix + order[i];
  return Permutation(std::move(all));
}

}  // namespace lion::order
