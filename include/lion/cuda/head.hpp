#pragma once
/// What the kernels read of a call, and where: sequences, tokens, rows, the mask's scalars.

#include "lion/attention.hpp"
#include "lion/core/stretch.hpp"

namespace lion::cuda {

/// Rows [L, width] of every batch entry and head.
template <class T>
struct Tokens {
  T* data = nullptr;
  Index batch = 0, head = 0, token = 0;  // strides
  int width = 0;
  bool aligned = false;  ///< rows begin at multiples of 16 bytes, and there are 16 bytes at data

  /// Whether rows are `columns` wide and are loaded by 16 bytes.
  LION_DEVICE bool dense(int columns) const { return aligned && width == columns; }
  LION_DEVICE T* row(Index b, Index h, Index t) const { return data + b * batch + h * head + t * token; }
};

template <class T>
Tokens<T> tokens_of(const View<T, 4>& view) {
  constexpr Index kVector = 16 / static_cast<Index>(sizeof(T));
  const bool aligned = view.size() > 0 && view.extent(3) >= kVector &&
                       reinterpret_cast<std::uintptr_t>(view.data()) % 16 == 0 && view.stride(0) % kVector == 0 &&
                       view.stride(1) % kVector == 0 && view.stride(2) % kVector == 0;
  return {view.data(), view.stride(0), view.stride(1), view.stride(2), static_cast<int>(view.extent(3)), aligned};
}

/// The sequences of a call and how they are cut into pieces of a size: pieces of all sequences are numbered, with gaps,
/// so that the host needs to know no length.
struct Sequences {
  const Index* cuts = nullptr;  // [count + 1] in the device's memory, or none: one sequence
  Index count = 1, length = 0;

  LION_DEVICE Stretch at(Index s) const { return cuts ? Stretch{cuts[s], cuts[s + 1] - cuts[s]} : Stretch{0, length}; }

  /// Numbers for pieces: no fewer than there are pieces.
  LION_HOST_DEVICE Index slots(Index size) const { return cuts ? length / size + count : (length + size - 1) / size; }

  /// The number of a sequence's first piece.
  LION_DEVICE Index first_slot(Index s, Index size) const { return cuts ? cuts[s] / size + s : 0; }

  /// The sequence that a number belongs to.
  LION_DEVICE Index sequence_of(Index slot, Index size) const {
    if (!cuts) return 0;
    Index low = 0, high = count;  // first_slot(low) ≤ slot < first_slot(high)
    while (high - low > 1) {
      const Index middle = (low + high) / 2;
      (first_slot(middle, size) <= slot ? low : high) = middle;
    }
    return low;
  }
};

/// One order of a call, as kernels take it.
template <class T, class M>
struct Walk {
  using A = accumulator_t<T>;

  typename M::template Parameters<A> mask;
  const Index* order = nullptr;  // [L] in the device's memory, or none: as the tokens lie
  Tokens<const T> q, k, v;
  const bool* key_mask = nullptr;
  Index key_mask_batch = 0, key_mask_token = 0;  // strides
  Index group = 1;                               ///< heads of v that share one of q and k
  Sequences sequences;
  A scale = 1;

  LION_DEVICE Index token(Index p) const { return order ? order[p] : p; }
  LION_DEVICE bool padded(Index b, Index t) const {
    return key_mask && !key_mask[b * key_mask_batch + t * key_mask_token];
  }
  LION_DEVICE static constexpr bool gated() { return M::gated; }
  LION_DEVICE A gate(Index b, Index h, Index t) const {
    if constexpr (M::gated) return mask.gate(b, h, t);
    return A(1);
  }
  LION_DEVICE double log_decay(Index b, Index h, Index t) const {
    if constexpr (M::decay == mask::DecayKind::per_head) return static_cast<double>(mask.log_decay(h));
    if constexpr (M::decay == mask::DecayKind::per_token) return static_cast<double>(mask.log_decay(b, h, t));
    return 0;
  }
};

}  // namespace lion::cuda
