#pragma once
/// Products of tiles whose factors are rounded to bfloat16 and whose sums are float, for tensors of bfloat16 where the
/// compiler is told of a CPU that multiplies it faster than floats (where its kernel then refuses tile registers, they
/// are rounded all the same); and the choice between these and those of cpu/tile_product.hpp.

#include <optional>

#include "lion/cpu/dot_block.hpp"
#include "lion/cpu/rows.hpp"
#include "lion/form/cost.hpp"

#if defined(LION_TILE_REGISTERS) || defined(LION_BFLOAT16_DOTS)
#define LION_ROUNDED_PRODUCTS 1
#endif

namespace lion::cpu {

/// A right factor that has been turned about once, for several products.
template <class A>
struct TurnedTile {
  Tile<A> columns;  // [depth, n]
  operator Tile<const A>() const { return columns; }

  TurnedTile(Arena& arena, Index depth, Index n) : columns(take_tile<A>(arena, depth, n)) {}

  /// factor · rowsᵀ of rows [n, depth].
  void turn(Tile<const A> rows, Index n, Index depth, A factor) { transpose_tile(rows, n, depth, factor, columns); }
};

#ifdef LION_ROUNDED_PRODUCTS

/// Factors in the layouts of cpu/dot_block.hpp, rounded to bfloat16. X: float or bfloat16. With steps of 32 along the
/// depth, the left one is [tile of 16 rows][step][16][32] and the right one [strip of 32 columns][step][2 halves]
/// [16 pairs of the depth][16 columns][2]; what is beyond the depth is zero in both, so that nothing there matters.
struct RoundedFactor {
  using Entry = Bfloat16Dots::Entry;
  static constexpr Index step = kBlockDepth<Entry>, half = kTileRows * step, block = 2 * half;

  static constexpr Index steps(Index depth) { return (depth + step - 1) / step; }
  static constexpr Index strips(Index n) { return (n + kBlockStrip - 1) / kBlockStrip; }

  /// m rows of the left factor.
  template <class X>
  static void convert_left(LeftFactor<X> from, Index m, Index depth, Entry* to) {
    for (Index i = 0; i < m; i += kTileRows) {
      for (Index p = 0; p < depth; p += step, to += half) {
        const X* at = from.data + i * from.row + p * from.column;
        const Index deep = (std::min)(step, depth - p);
        if (from.column != 1) {
          alignas(kAlignment) Entry pairs[half];
          convert_half(Tile<const X>{at, from.column}, deep, nullptr, pairs);
          transpose_pairs(pairs, to);
        } else {
          convert_rows(Tile<const X>{at, from.row}, (std::min)(kTileRows, m - i), deep, 1, to);
        }
      }
    }
  }

  /// n columns of the right factor, a multiple of 16; row p times by[p], unless absent.
  template <class X>
  static void convert_right(Tile<const X> from, Index depth, Index n, const float* by, Entry* to) {
    for (Index j = 0; j < n; j += kBlockStrip) {
      for (Index p = 0; p < depth; p += step, to += block) {
        const Index deep = (std::min)(step, depth - p);
        const Tile<const X> at{from(p) + j, from.stride};
        convert_half(at, deep, by ? by + p : nullptr, to);
        if (j + 16 < n) {
          convert_half(Tile<const X>{at.data + 16, at.stride}, deep, by ? by + p : nullptr, to + half);
        } else {
          std::fill_n(to + half, half, Entry(0));
        }
      }
    }
  }

  /// The right factor factor · rowsᵀ, of rows [n, depth].
  template <class X>
  static void turn(Tile<const X> rows, Index n, Index depth, float factor, Entry* to) {
    for (Index j = 0; j < n; j += kBlockStrip) {
      for (Index p = 0; p < depth; p += step) {
        for (Index part = j; part < j + kBlockStrip; part += 16, to += half) {
          alignas(kAlignment) Entry tile[half];
          const Index count = (std::max<Index>)(0, (std::min<Index>)(16, n - part));
          convert_rows(Tile<const X>{rows(part) + p, rows.stride}, count, (std::min)(step, depth - p), factor, tile);
          transpose_pairs(tile, to);
        }
      }
    }
  }

 private:
  /// `rows` ≤ 16 rows of `depth` ≤ 32 entries, as a tile of the left factor.
  template <class X>
  static void convert_rows(Tile<const X> from, Index rows, Index depth, float factor, Entry* to) {
    alignas(kAlignment) float scaled[step];
    for (Index r = 0; r < rows; ++r) {
      if constexpr (std::same_as<X, bfloat16>) {
        if (factor == 1) {
          Bfloat16Dots::convert(from(r), depth, to + r * step);
          continue;
        }
      }
      if (depth == step) {
        const auto half_row = [&](Index i) { return factor * load_converted<float>(from(r) + i); };
        Bfloat16Dots::convert(half_row(0), half_row(16), to + r * step);
      } else {
        copy_row(from(r), depth, factor, scaled);
        Bfloat16Dots::convert(scaled, depth, 1, to + r * step);
      }
    }
    std::fill_n(to + rows * step, (kTileRows - rows) * step, Entry(0));
  }

  /// 16 columns of `depth` ≤ 32 rows, as a half block.
  template <class X>
  static void convert_half(Tile<const X> from, Index depth, const float* by, Entry* to) {
    const auto row = [&](Index p) { return load_converted<float>(from(p)); };
    const Index pairs = depth / 2;
    if (by) {
      LION_UNROLL_BY(4)
      for (Index p = 0; p < pairs; ++p) {
        Bfloat16Dots::convert_pair(by[2 * p] * row(2 * p), by[2 * p + 1] * row(2 * p + 1), to + p * step);
      }
    } else {
      LION_UNROLL_BY(4)
      for (Index p = 0; p < pairs; ++p) {
        if constexpr (std::same_as<X, bfloat16>) {
          Bfloat16Dots::convert_pair(from(2 * p), from(2 * p + 1), to + p * step);
        } else {
          Bfloat16Dots::convert_pair(row(2 * p), row(2 * p + 1), to + p * step);
        }
      }
    }
    if (depth % 2 != 0) {
      Bfloat16Dots::convert_pair((by ? by[depth - 1] : 1.0f) * row(depth - 1), filled(0.0f), to + pairs * step);
    }
    const Index used = (depth + 1) / 2;
    std::fill_n(to + used * step, (16 - used) * step, Entry(0));
  }

  /// [16, 16] pairs, transposed: the tile of a left factor from the half block of the right factor that is its
  /// transpose, and the other way round.
  static void transpose_pairs(const Entry* from, Entry* to) {
    for (Index j = 0; j < 16; j += 4) {
      detail::transpose_block(reinterpret_cast<const float*>(from) + j, 16, [&](Index c, const Packed<float>& column) {
        store(reinterpret_cast<float*>(to) + (j + c) * 16, column);
      });
    }
  }
};

/// The same as TurnedTile.
struct RoundedTurnedTile {
  RoundedFactor::Entry* blocks;
  Index steps;

  RoundedTurnedTile(Arena& arena, Index depth, Index n)
      : blocks(arena.take<RoundedFactor::Entry>(RoundedFactor::strips(n) * RoundedFactor::steps(depth) *
                                                RoundedFactor::block)),
        steps(RoundedFactor::steps(depth)) {}

  template <class X>
  void turn(Tile<const X> rows, Index n, Index depth, float factor) {
    RoundedFactor::turn(rows, n, depth, factor, blocks);
  }
};

/// As add_tile_product, with both factors rounded to bfloat16; entry p of a row of a and row p of b by `by`[p], unless
/// absent. To be called in a TileScope where there are tile registers. Takes 52 KiB of stack.
template <class X>
class RoundedProduct {
 public:
  using Entry = RoundedFactor::Entry;
  using Factor = RoundedFactor;

  RoundedProduct(Tile<float> c, Index m, Index n, LeftFactor<X> a, Into<float> into, Ahead* ahead)
      : c_(c), m_(m), width_(padded<float>(n)), a_(a), into_(into), ahead_(ahead) {}

  template <class Y>
  void run(Index depth, Tile<Y> b, const float* by) {
    alignas(kAlignment) Entry right[kDepth * kColumns];
    // The depth in equal parts, so that the last is not a short one.
    const Index parts = (depth + kDepth - 1) / kDepth;
    const Index part = parts ? Factor::steps((depth + parts - 1) / parts) * Factor::step : 1;
    for (Index p = 0; p == 0 || p < depth; p += part) {
      const Index deep = (std::min)(part, depth - p), steps = Factor::steps(deep);
      for (Index j = 0; j < width_; j += kColumns) {
        const Index columns = (std::min)(kColumns, width_ - j);
        Factor::convert_right(Tile<const std::remove_const_t<Y>>{b(p) + j, b.stride}, deep, columns,
                              by ? by + p : nullptr, right);
        add(p, deep, j, columns, right, steps);
      }
    }
  }

  void run(Index depth, const RoundedTurnedTile& b, const float*) {
    for (Index p = 0; p == 0 || p < depth; p += kDepth) {
      add(p, (std::min)(kDepth, depth - p), 0, width_, b.blocks + p / Factor::step * Factor::block, b.steps);
    }
  }

 private:
  static constexpr Index kRows = 64, kColumns = 128, kDepth = 128, kLines = 32;

  /// Columns [j, j + columns) of the product over `depth` entries from p on; strips of the right factor are
  /// `strip_steps` blocks apart.
  void add(Index p, Index depth, Index j, Index columns, const Entry* right, Index strip_steps) {
    alignas(kAlignment) Entry left[kRows * kDepth];
    const Index steps = Factor::steps(depth);
    const Fade<float> fade = p == 0 ? into_.fade : Fade<float>{};
    for (Index i = 0; i < m_; i += kRows) {
      const Index rows = (std::min)(kRows, m_ - i);
      const LeftFactor<X> from{a_.data + i * a_.row + p * a_.column, a_.row, a_.column};
      TileRows<Entry> a{left, nullptr, Factor::half, Factor::step};
      Index next_tile = steps * Factor::half;
      if (read_in_place(from, rows, depth)) {
        a = {reinterpret_cast<const Entry*>(from.data), nullptr, Factor::step, from.row};
        next_tile = kTileRows * from.row;
      } else {
        Factor::convert_left(from, rows, depth, left);
      }
      for (Index strip = 0; strip < columns; strip += kBlockStrip) {
        const Entry* b = right + strip / kBlockStrip * strip_steps * Factor::block;
        TileRows<Entry> tiles = a;
        for (Index r = 0; r < rows; r += 2 * kTileRows, tiles.first += 2 * next_tile) {
          tiles.second = r + kTileRows < rows ? tiles.first + next_tile : nullptr;
          const Index count = (std::min)(2 * kTileRows, rows - r), wide = (std::min)(kBlockStrip, columns - strip);
          const Tile<float> c{c_(i + r) + j + strip, c_.stride};
          if (ahead_) ask();
          multiply(tiles, b, steps, c, count, wide, fade, into_.weight ? into_.weight + i + r : nullptr);
        }
      }
    }
  }

  /// Tile registers read whole tiles of bfloat16 rows where they lie.
  static bool read_in_place(const LeftFactor<X>& from, Index rows, Index depth) {
    return std::same_as<X, bfloat16> && tile_registers() && from.column == 1 && rows % kTileRows == 0 &&
           depth % Factor::step == 0 && depth > 0;
  }

  /// Asks for as many lines of the tiles to come as a float product does at this place.
  void ask() {
    Ahead::Lines lines = ahead_->take(kLines);
    for (Index i = 0; lines.at && i < kLines; ++i) {
      __builtin_prefetch(lines.at, 0, 2);
      lines.at += (i & 3) == 3 ? lines.jump : lines.step;
    }
  }

  static void multiply(const TileRows<Entry>& a, const Entry* b, Index steps, Tile<float> c, Index m, Index n,
                       Fade<float> fade, const float* weight) {
    alignas(kAlignment) float sums[2 * kTileRows * kBlockStrip];
#ifdef LION_TILE_REGISTERS
    if (tile_registers()) {
      const bool whole = n == kBlockStrip && m % kTileRows == 0, sets = fade.all();
      if (!whole || (weight && !sets)) {
        multiply_tiles<Bfloat16Dots>(a, b, b, steps, sums);
        return merge(sums, c, m, n, fade, weight);
      }
      // Where they go, while it is fetched.
      if (!sets && !fade.none()) {
        scale_rows(c, m, [&](Index, const Packed<float>& x) { return fade.keep * x + fade.change * x; });
      }
      multiply_tiles<Bfloat16Dots>(a, b, b, steps, c.data, c.stride, !sets);
      if (weight) scale_rows(c, m, [&](Index i, const Packed<float>& x) { return weight[i] * x; });
      return;
    }
#endif
    multiply_blocks(a.first, a.second, b, b, steps, sums);
    merge(sums, c, m, n, fade, weight);
  }

  template <class F>
  static void scale_rows(Tile<float> c, Index m, F&& scaled) {
    LION_UNROLL_BY(4)
    for (Index i = 0; i < m; ++i) {
      store(c(i), scaled(i, load<float>(c(i))));
      store(c(i) + 16, scaled(i, load<float>(c(i) + 16)));
    }
  }

  /// c [m, n] = fade c + weight sums, n a multiple of 16.
  static void merge(const float* sums, Tile<float> c, Index m, Index n, Fade<float> fade, const float* weight) {
    const auto each = [&](auto&& one) {
      for (Index i = 0; i < m; ++i, sums += kBlockStrip) {
        const float by = weight ? weight[i] : 1.0f;
        for (Index j = 0; j < n; j += 16) one(c(i) + j, by * load(sums + j));
      }
    };
    if (fade.all()) {
      each([](float* to, const Packed<float>& sum) { store(to, sum); });
    } else if (fade.none()) {
      each([](float* to, const Packed<float>& sum) { store(to, load<float>(to) + sum); });
    } else {
      each([&](float* to, const Packed<float>& sum) {
        const Packed<float> before = load<float>(to);
        store(to, fade.keep * before + (fade.change * before + sum));
      });
    }
  }

  Tile<float> c_;
  Index m_, width_;
  LeftFactor<X> a_;
  Into<float> into_;
  Ahead* ahead_;
};

#endif

/// The products that a walk over tensors of T is made of: of factors rounded to bfloat16 if the tensors are and
/// LION_ROUNDED_PRODUCTS is defined above, or else as they are.
template <class T>
struct TileProducts {
  using A = accumulator_t<T>;
  using Row = A;  ///< what tiles of a tensor's rows hold
  using Turned = TurnedTile<A>;
  static constexpr Index kAutoChunk = form::kAutoChunk;
  static constexpr bool rounds = false;  ///< whether factors are rounded; then `add` takes weights of the depth too

  /// Held by a thread while it makes products.
  struct Scope {
    Scope() {}
  };

  /// c [m, n] = fade c + weight (a [m, depth] · b [depth, n]), as add_tile_product.
  LION_ALWAYS_INLINE static void add(Tile<A> c, Index m, Index n, Index depth, LeftFactor<A> a, Tile<const A> b,
                                     Into<A> into = {}, Ahead* ahead = nullptr, const A* = nullptr) {
    add_tile_product(c, m, n, depth, a, b, into, ahead);
  }
  /// c = a · b, whatever c was.
  LION_ALWAYS_INLINE static void set(Tile<A> c, Index m, Index n, Index depth, LeftFactor<A> a, Tile<const A> b,
                                     Ahead* ahead = nullptr) {
    set_tile_product(c, m, n, depth, a, b, ahead);
  }
};

#ifdef LION_ROUNDED_PRODUCTS

template <>
struct TileProducts<bfloat16> {
  using A = float;
  using Row = bfloat16;
  using Turned = RoundedTurnedTile;
  static constexpr Index kAutoChunk = 64;  ///< pairs cost less here than the states of more chunks
  static constexpr bool rounds = true;

  struct Scope {
#ifdef LION_TILE_REGISTERS
    std::optional<TileScope> tiles;
    Scope() {
      if (tile_registers()) tiles.emplace();
    }
#else
    Scope() {}
#endif
  };

  template <class X, class B>
  static void add(Tile<A> c, Index m, Index n, Index depth, LeftFactor<X> a, const B& b, Into<A> into = {},
                  Ahead* ahead = nullptr, const A* by = nullptr) {
    RoundedProduct<X>(c, m, n, a, into, ahead).run(depth, b, by);
  }
  template <class X, class B>
  static void set(Tile<A> c, Index m, Index n, Index depth, LeftFactor<X> a, const B& b, Ahead* ahead = nullptr) {
    add(c, m, n, depth, a, b, Into<A>::set(), ahead);
  }
};

#endif

/// Those of a backward pass under mask M. With one decay per token factors are not rounded: dℓ adds differences of
/// q·dq and k·dk up along the sequence (math.md §4), and with them what rounding leaves of terms that cancel.
template <class T, class M>
using BackwardProducts = TileProducts<std::conditional_t<M::decay == mask::DecayKind::per_token, accumulator_t<T>, T>>;

}  // namespace lion::cpu
